#!/usr/bin/env bash
# Installs and starts what the tests marked `services` and `browser` need: bubblewrap, Chromium, node, the reader of
# docker-compose.yml (no engine), and real servers of Ollama (with a tiny model), Neo4j, Chroma, Redis and PostgreSQL. `down.sh` stops those servers.
# Debian, as root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/services/again.sh
. "$here/again.sh"

missing=()
command -v bwrap >/dev/null 2>&1 || missing+=(bubblewrap)
[ -x /usr/bin/chromium ] || missing+=(chromium)
command -v mvn >/dev/null 2>&1 || missing+=(maven)
command -v java >/dev/null 2>&1 || missing+=(openjdk-17-jre-headless)
command -v openssl >/dev/null 2>&1 || missing+=(openssl)
command -v node >/dev/null 2>&1 || missing+=(nodejs node-ws)
command -v docker-compose >/dev/null 2>&1 || missing+=(docker-compose)
if [ "${#missing[@]}" -gt 0 ]; then
    again apt-get update -qq
    again env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
for service in postgres chroma neo4j redis ollama; do
    bash "$here/${service}_up.sh"
done
