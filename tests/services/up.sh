#!/usr/bin/env bash
# Installs and starts what the tests marked `services` and `browser` need: bubblewrap, Chromium, and real
# servers of Ollama (with a tiny model), Neo4j, Chroma and PostgreSQL. `down.sh` stops those servers.
# Debian, as root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

missing=()
command -v bwrap >/dev/null 2>&1 || missing+=(bubblewrap)
[ -x /usr/bin/chromium ] || missing+=(chromium)
command -v mvn >/dev/null 2>&1 || missing+=(maven)
command -v java >/dev/null 2>&1 || missing+=(openjdk-17-jre-headless)
command -v openssl >/dev/null 2>&1 || missing+=(openssl)
if [ "${#missing[@]}" -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
for service in postgres chroma neo4j ollama; do
    bash "$here/${service}_up.sh"
done
