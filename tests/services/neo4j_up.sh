#!/usr/bin/env bash
# Starts the real Neo4j server (Community) on free loopback ports; writes STATE:
#   NEO4J_URI, NEO4J_USER, NEO4J_PASSWORD, NEO4J_PID, NEO4J_HOME, one NAME=value a line (mode 0600;
# the password is not printed).
# README: needs Java 17 and Maven (Debian packages openjdk-17-jre-headless, maven). The first call
# fetches the server's jars from Maven Central (116 MB); they stay in MMM_SERVICES_CACHE/neo4j. A start
# takes 20-40 s and 512 MB of heap; the data folder is new each time.
# Usage: neo4j_up.sh [STATE], with STATE $MMM_SERVICES_CACHE/neo4j.env by default.
# `neo4j_down.sh [STATE]` stops it and removes its data.
set -euo pipefail
# shellcheck source=tests/services/again.sh
. "$(dirname "$0")/again.sh"

version=5.26.12
cache=${MMM_SERVICES_CACHE:-$HOME/.cache/mmm-workflows-services}
state=${1:-$cache/neo4j.env}
jars=$cache/neo4j/$version/lib
log=$cache/neo4j/serve.log

need() {
    command -v "$1" >/dev/null 2>&1 || { echo "neo4j_up: $1 is needed ($2)" >&2; exit 3; }
}

fetch_jars() {
    need mvn "Debian package maven"
    echo "neo4j_up: fetching Neo4j $version, 116 MB, once" >&2
    folder=$(mktemp -d "$cache/neo4j/fetch.XXXXXX")
    cat >"$folder/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>mmm.workflows</groupId><artifactId>neo4j-for-tests</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.neo4j.app</groupId><artifactId>neo4j-server</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
POM
    (cd "$folder" && again mvn -q -B dependency:copy-dependencies -DoutputDirectory="$folder/lib") >"$cache/neo4j/fetch.log" 2>&1 \
        || { tail -n 20 "$cache/neo4j/fetch.log" >&2; rm -r "$folder"; exit 3; }
    mkdir -p "${jars%/*}"
    mv -T "$folder/lib" "$jars" 2>/dev/null || [ -d "$jars" ]
    rm -r "$folder"
}

free_ports() {
    python3 -c '
import socket
taken = [socket.socket() for _ in range(2)]
for one in taken:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in taken))'
}

# Cypher over the server's HTTP address: status 2xx and no error in the reply.
# The password goes through the environment: arguments can be read by every user of the machine.
ask() { # database, statement, parameters as JSON
    NEO4J_AUTH_FOR_ASK=$ask_as python3 - "$http" "$@" <<'PY'
import base64, json, os, sys, urllib.request

address, database, statement, parameters = sys.argv[1:]
parameters = {name: os.environ[variable] for name, variable in json.loads(parameters).items()}
body = {"statements": [{"statement": statement, "parameters": parameters}]}
request = urllib.request.Request(
    f"http://{address}/db/{database}/tx/commit",
    json.dumps(body).encode(),
    {
        "Content-Type": "application/json",
        "Authorization": "Basic " + base64.b64encode(os.environ["NEO4J_AUTH_FOR_ASK"].encode()).decode(),
    },
)
try:
    with urllib.request.urlopen(request, timeout=60) as reply:
        errors = json.load(reply)["errors"]
except (OSError, ValueError) as error:
    sys.exit(f"{error}")
if errors:
    sys.exit(errors[0]["message"])
PY
}

wait_until_it_answers() {
    for _ in $(seq 240); do
        if grep -q '^.*INFO  Started\.$' "$log" 2>/dev/null; then return; fi
        kill -0 "$1" 2>/dev/null || break
        sleep 0.5
    done
    echo "neo4j_up: the server did not start; see $log" >&2
    tail -n 5 "$log" >&2
    kill "$1" 2>/dev/null || true
    exit 3
}

is_running() {
    [ -f "$state" ] || return 1
    # shellcheck disable=SC1090
    . "$state"
    kill -0 "$NEO4J_PID" 2>/dev/null \
        && python3 -c "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)" "${NEO4J_URI##*:}" 2>/dev/null
}

need java "Debian package openjdk-17-jre-headless"
mkdir -p "$cache/neo4j" "$(dirname "$state")"
if is_running; then
    grep -v '^NEO4J_PASSWORD=' "$state"
    exit 0
fi
[ -d "$jars" ] || fetch_jars

read -r bolt_port http_port <<<"$(free_ports)"
bolt=127.0.0.1:$bolt_port
http=127.0.0.1:$http_port
home=$(mktemp -d "${TMPDIR:-/tmp}/mmm-neo4j.XXXXXX")
mkdir "$home/conf"
cat >"$home/conf/neo4j.conf" <<CONF
server.bolt.listen_address=$bolt
server.http.listen_address=$http
server.memory.heap.max_size=512m
server.memory.pagecache.size=64m
dbms.usage_report.enabled=false
dbms.security.auth_lock_time=0s
CONF
opens=()
for package in java.io java.nio sun.nio.ch java.util.concurrent; do
    opens+=("--add-opens=java.base/$package=ALL-UNNAMED")
done
nohup java -Xmx512m -cp "$jars/*" "${opens[@]}" org.neo4j.server.CommunityEntryPoint \
    --home-dir="$home" --config-dir="$home/conf" --console-mode >"$log" 2>&1 </dev/null &
pid=$!
wait_until_it_answers "$pid"

password=$(python3 -c 'import secrets; print(secrets.token_urlsafe(18))')
export NEO4J_NEW_PASSWORD=$password NEO4J_OLD_PASSWORD=neo4j
ask_as=neo4j:neo4j
if ! again ask system 'ALTER CURRENT USER SET PASSWORD FROM $old TO $new' \
    '{"old": "NEO4J_OLD_PASSWORD", "new": "NEO4J_NEW_PASSWORD"}'; then
    echo "neo4j_up: the password could not be set; see $log" >&2
    kill "$pid"
    exit 3
fi
ask_as=neo4j:$password
ready=
for _ in $(seq 60); do
    if ask neo4j 'RETURN 1' '{}' 2>/dev/null; then ready=yes; break; fi
    sleep 0.5
done
if [ -z "$ready" ]; then
    echo "neo4j_up: the database does not answer; see $log" >&2
    kill "$pid"
    exit 3
fi
(umask 077 && printf 'NEO4J_URI=bolt://%s\nNEO4J_USER=neo4j\nNEO4J_PASSWORD=%s\nNEO4J_PID=%s\nNEO4J_HOME=%s\n' \
    "$bolt" "$password" "$pid" "$home" >"$state")
grep -v '^NEO4J_PASSWORD=' "$state"
