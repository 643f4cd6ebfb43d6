#!/usr/bin/env bash
# Starts a real PostgreSQL with a cluster of its own on a free loopback port; writes STATE:
#   DATABASE_URL, ASYNC_DATABASE_URL, POSTGRES_PID, POSTGRES_FOLDER, one NAME=value a line.
# Installs the Debian package when the server is missing (as root). Usage: postgres_up.sh [STATE],
# with STATE $MMM_SERVICES_CACHE/postgres.env by default. `postgres_down.sh [STATE]` stops it.
set -euo pipefail
# shellcheck source=tests/services/again.sh
. "$(dirname "$0")/again.sh"

cache=${MMM_SERVICES_CACHE:-$HOME/.cache/mmm-workflows-services}
state=${1:-$cache/postgres.env}

programs() {
    for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr) /usr/local/bin /usr/bin; do
        if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then
            echo "$folder"
            return
        fi
    done
}

install_server() {
    [ "$(id -u)" = 0 ] || { echo "postgres_up: no PostgreSQL server (Debian package postgresql)" >&2; exit 3; }
    export DEBIAN_FRONTEND=noninteractive
    again apt-get update -qq
    again apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null
    # Debian would start a cluster of its own on port 5432: nobody asked for that one.
    sed -i 's/^#\? *create_main_cluster *=.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf
    again apt-get install -y -qq --no-install-recommends postgresql >/dev/null
}

# The server refuses to run as root.
as_server() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

is_running() {
    [ -f "$state" ] || return 1
    # shellcheck disable=SC1090
    . "$state"
    [ "$(head -n 1 "$POSTGRES_FOLDER/data/postmaster.pid" 2>/dev/null)" = "$POSTGRES_PID" ] \
        && tr '\0' ' ' <"/proc/$POSTGRES_PID/cmdline" 2>/dev/null | grep -qF "$POSTGRES_FOLDER/data"
}

mkdir -p "$(dirname "$state")"
if is_running; then
    cat "$state"
    exit 0
fi
[ -n "$(programs)" ] || install_server
bin=$(programs)

# Not in the cache: the server's user must be able to walk to it.
folder=$(mktemp -d "${TMPDIR:-/tmp}/mmm-postgres.XXXXXX")
data=$folder/data
printf 'pass\n' >"$folder/password"
if [ "$(id -u)" = 0 ]; then chown -R postgres "$folder"; fi
as_server "$bin/initdb" --pgdata "$data" --username user --pwfile "$folder/password" \
    --auth scram-sha-256 --encoding UTF8 --locale C.UTF-8 --no-sync >"$folder/initdb.log" 2>&1 \
    || { tail -n 20 "$folder/initdb.log" >&2; exit 3; }
rm "$folder/password"

port=$(free_port)
# Nothing here is worth a wait for the disk.
as_server "$bin/pg_ctl" --pgdata "$data" --log "$folder/log" --wait --timeout 120 --silent \
    --options "-h 127.0.0.1 -p $port -c unix_socket_directories='' -c fsync=off" start \
    || { tail -n 20 "$folder/log" >&2; exit 3; }
pid=$(head -n 1 "$data/postmaster.pid")
PGPASSWORD=pass "$bin/createdb" --host 127.0.0.1 --port "$port" --username user mmm

address=user:pass@127.0.0.1:$port/mmm
printf 'DATABASE_URL=postgresql://%s\nASYNC_DATABASE_URL=postgresql+asyncpg://%s\nPOSTGRES_PID=%s\nPOSTGRES_FOLDER=%s\n' \
    "$address" "$address" "$pid" "$folder" >"$state"
cat "$state"
