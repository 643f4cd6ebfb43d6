#!/usr/bin/env bash
# Stops what up.sh started.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for service in postgres chroma neo4j redis ollama; do
    bash "$here/${service}_down.sh"
done
