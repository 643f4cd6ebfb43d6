#!/usr/bin/env bash
# Starts a real Chroma server on a free loopback port, with its data in a new folder; writes STATE:
#   CHROMA_URL, CHROMA_PID, CHROMA_FOLDER, one NAME=value a line.
# Usage: chroma_up.sh [STATE], with STATE $MMM_SERVICES_CACHE/chroma.env by default. The server
# comes with the package chromadb; CHROMA names the program where it is not .venv/bin/chroma.
# `chroma_down.sh [STATE]` stops it and removes its data.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${MMM_SERVICES_CACHE:-$HOME/.cache/mmm-workflows-services}
state=${1:-$cache/chroma.env}
server=${CHROMA:-$here/../../.venv/bin/chroma}

answers() {
    python3 -c "import urllib.request as u; u.urlopen('$1/api/v2/heartbeat', timeout=2)" 2>/dev/null
}

[ -x "$server" ] || { echo "chroma_up: $server is needed (run make setup)" >&2; exit 3; }
mkdir -p "$cache" "$(dirname "$state")"
if [ -f "$state" ]; then
    # shellcheck disable=SC1090
    . "$state"
    if kill -0 "$CHROMA_PID" 2>/dev/null && answers "$CHROMA_URL"; then
        cat "$state"
        exit 0
    fi
fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
folder=$(mktemp -d "${TMPDIR:-/tmp}/mmm-chroma.XXXXXX")
url=http://127.0.0.1:$port
ANONYMIZED_TELEMETRY=False DO_NOT_TRACK=1 \
    nohup "$server" run --path "$folder" --host 127.0.0.1 --port "$port" >"$cache/chroma.log" 2>&1 </dev/null &
pid=$!
for _ in $(seq 480); do
    answers "$url" && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.25
done
if ! answers "$url"; then
    echo "chroma_up: the server does not answer at $url; see $cache/chroma.log" >&2
    kill "$pid" 2>/dev/null || true
    exit 3
fi
printf 'CHROMA_URL=%s\nCHROMA_PID=%s\nCHROMA_FOLDER=%s\n' "$url" "$pid" "$folder" >"$state"
cat "$state"
