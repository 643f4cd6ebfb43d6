#!/usr/bin/env bash
# Stops the server that redis_up.sh started, and no other, and removes its folder.
# Usage: redis_down.sh [STATE]
set -euo pipefail

state=${1:-${MMM_SERVICES_CACHE:-$HOME/.cache/mmm-workflows-services}/redis.env}
[ -f "$state" ] || exit 0
# shellcheck disable=SC1090
. "$state"
# A process id is used again in time: it is ours only while it works in our folder.
if [ "$(readlink "/proc/$REDIS_PID/cwd" 2>/dev/null)" = "$REDIS_FOLDER" ]; then
    kill "$REDIS_PID" 2>/dev/null || true
    for _ in $(seq 300); do
        grep -q . "/proc/$REDIS_PID/cmdline" 2>/dev/null || break # empty where it only waits to be buried
        sleep 0.1
    done
fi
case $REDIS_FOLDER in
    */mmm-redis.*) rm -rf "$REDIS_FOLDER" ;;
esac
rm -f "$state"
