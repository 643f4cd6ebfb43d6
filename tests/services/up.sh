#!/usr/bin/env bash
# Installs and starts what the tests marked `services` and `browser` need: bubblewrap, Chromium and a
# real Ollama server with a tiny model. `down.sh` stops the server. Debian, as root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

missing=()
command -v bwrap >/dev/null 2>&1 || missing+=(bubblewrap)
[ -x /usr/bin/chromium ] || missing+=(chromium)
command -v openssl >/dev/null 2>&1 || missing+=(openssl)
if [ "${#missing[@]}" -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
bash "$here/ollama_up.sh"
