#!/usr/bin/env bash
# Stops the server that postgres_up.sh started, and no other, and removes its data.
# Usage: postgres_down.sh [STATE]
set -euo pipefail

state=${1:-${MMM_SERVICES_CACHE:-$HOME/.cache/mmm-workflows-services}/postgres.env}
[ -f "$state" ] || exit 0
# shellcheck disable=SC1090
. "$state"
# A process id is used again in time: it is ours only while it serves our folder.
if [ "$(head -n 1 "$POSTGRES_FOLDER/data/postmaster.pid" 2>/dev/null)" = "$POSTGRES_PID" ] \
    && tr '\0' ' ' <"/proc/$POSTGRES_PID/cmdline" 2>/dev/null | grep -qF "$POSTGRES_FOLDER/data"; then
    kill -INT "$POSTGRES_PID" 2>/dev/null || true # "fast": sessions are ended
    for _ in $(seq 300); do
        grep -q . "/proc/$POSTGRES_PID/cmdline" 2>/dev/null || break # empty where it only waits to be buried
        sleep 0.1
    done
fi
case $POSTGRES_FOLDER in
    */mmm-postgres.*) rm -rf "$POSTGRES_FOLDER" || { sleep 2 && rm -rf "$POSTGRES_FOLDER"; } ;;
esac
rm -f "$state"
