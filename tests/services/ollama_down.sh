#!/usr/bin/env bash
# Stops the server that ollama_up.sh started, and no other. Usage: ollama_down.sh [STATE]
set -euo pipefail

state=${1:-${MMM_SERVICES_CACHE:-$HOME/.cache/mmm-workflows-services}/ollama.env}
[ -f "$state" ] || exit 0
# shellcheck disable=SC1090
. "$state"
# A process id is used again in time: it is ours only while it is an Ollama server.
if tr '\0' ' ' <"/proc/$OLLAMA_PID/cmdline" 2>/dev/null | grep -q 'ollama serve' \
    || ps -o args= -p "$OLLAMA_PID" 2>/dev/null | grep -q 'ollama serve'; then
    kill "$OLLAMA_PID" 2>/dev/null || true
    for _ in $(seq 300); do
        grep -q . "/proc/$OLLAMA_PID/cmdline" 2>/dev/null || break # empty where it only waits to be buried
        sleep 0.1
    done
fi
rm -f "$state"
