#!/usr/bin/env bash
# Stops what up.sh started.
set -euo pipefail
bash "$(cd "$(dirname "$0")" && pwd)/ollama_down.sh"
