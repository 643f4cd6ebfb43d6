#!/usr/bin/env bash
# Stops the server that neo4j_up.sh started, and no other, and removes its data.
# Usage: neo4j_down.sh [STATE]
set -euo pipefail

state=${1:-${MMM_SERVICES_CACHE:-$HOME/.cache/mmm-workflows-services}/neo4j.env}
[ -f "$state" ] || exit 0
# shellcheck disable=SC1090
. "$state"
# A process id is used again in time: it is ours only while it serves this data folder.
if tr '\0' ' ' <"/proc/$NEO4J_PID/cmdline" 2>/dev/null | grep -qF -- "--home-dir=$NEO4J_HOME" \
    || ps -o args= -p "$NEO4J_PID" 2>/dev/null | grep -qF -- "--home-dir=$NEO4J_HOME"; then
    kill "$NEO4J_PID" 2>/dev/null || true
    for _ in $(seq 300); do
        grep -q . "/proc/$NEO4J_PID/cmdline" 2>/dev/null || break # empty where it only waits to be buried
        sleep 0.1
    done
    if grep -q . "/proc/$NEO4J_PID/cmdline" 2>/dev/null; then
        kill -9 "$NEO4J_PID" 2>/dev/null || true
    fi
fi
case "$NEO4J_HOME" in
*/mmm-neo4j.*) rm -rf -- "$NEO4J_HOME" ;;
esac
rm -f "$state"
