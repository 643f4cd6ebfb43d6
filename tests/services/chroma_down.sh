#!/usr/bin/env bash
# Stops the server that chroma_up.sh started, and no other. Usage: chroma_down.sh [STATE]
set -euo pipefail

state=${1:-${MMM_SERVICES_CACHE:-$HOME/.cache/mmm-workflows-services}/chroma.env}
[ -f "$state" ] || exit 0
# shellcheck disable=SC1090
. "$state"
# A process id is used again in time: it is ours only while it serves this folder.
if ps -o args= -p "$CHROMA_PID" 2>/dev/null | grep -qF -- "--path $CHROMA_FOLDER"; then
    kill "$CHROMA_PID" 2>/dev/null || true
    for _ in $(seq 300); do
        grep -q . "/proc/$CHROMA_PID/cmdline" 2>/dev/null || break # empty where it only waits to be buried
        sleep 0.1
    done
fi
case "$CHROMA_FOLDER" in */mmm-chroma.??????) rm -rf "$CHROMA_FOLDER" ;; esac
rm -f "$state"
