#!/usr/bin/env bash
# Starts a real Redis on a free loopback port, with nothing kept on disk; writes STATE:
#   REDIS_URL, REDIS_PID, REDIS_FOLDER, one NAME=value a line.
# Installs the Debian package when the server is missing (as root). Usage: redis_up.sh [STATE],
# with STATE $MMM_SERVICES_CACHE/redis.env by default; REDIS_PORT chooses the port.
# `redis_down.sh [STATE]` stops it.
set -euo pipefail
# shellcheck source=tests/services/again.sh
. "$(dirname "$0")/again.sh"

cache=${MMM_SERVICES_CACHE:-$HOME/.cache/mmm-workflows-services}
state=${1:-$cache/redis.env}

install_server() {
    [ "$(id -u)" = 0 ] || { echo "redis_up: no Redis server (Debian package redis-tools)" >&2; exit 3; }
    again apt-get update -qq
    # Not redis-server: that one would start a server on port 6379, which nobody asked for.
    again env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-tools >/dev/null
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A process id is used again in time: it is ours only while it works in our folder.
is_running() {
    [ -f "$state" ] || return 1
    # shellcheck disable=SC1090
    . "$state"
    [ "$(readlink "/proc/$REDIS_PID/cwd" 2>/dev/null)" = "$REDIS_FOLDER" ]
}

mkdir -p "$(dirname "$state")"
if is_running; then
    cat "$state"
    exit 0
fi
command -v redis-check-rdb >/dev/null 2>&1 || command -v redis-server >/dev/null 2>&1 || install_server
folder=$(mktemp -d "${TMPDIR:-/tmp}/mmm-redis.XXXXXX")
# The tools hold the server too: one program that does what its name says.
ln -s "$(command -v redis-server || command -v redis-check-rdb)" "$folder/redis-server"

port=${REDIS_PORT:-$(free_port)}
nohup "$folder/redis-server" --bind 127.0.0.1 --port "$port" --dir "$folder" --save '' \
    --appendonly no >"$folder/log" 2>&1 </dev/null &
pid=$!
ready=
for _ in $(seq 600); do
    if grep -q 'Ready to accept connections' "$folder/log" 2>/dev/null; then ready=yes; break; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
done
if [ -z "$ready" ]; then
    echo "redis_up: the server did not start; see $folder/log" >&2
    tail -n 5 "$folder/log" >&2
    kill "$pid" 2>/dev/null || true
    exit 3
fi
printf 'REDIS_URL=redis://127.0.0.1:%s\nREDIS_PID=%s\nREDIS_FOLDER=%s\n' "$port" "$pid" "$folder" >"$state"
cat "$state"
