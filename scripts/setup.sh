#!/bin/sh
# Installs the locked packages into .venv. Bootstraps uv into .tools when there is none that runs;
# the system's Python is left as it is. $1: a Python version or path, empty for the best there is;
# $2: optional packages, with commas.
set -eu
wanted=${1:-}
extras=$(echo "${2:-}" | sed 's/[^,][^,]*/--extra &/g; s/,/ /g')
export UV_PYTHON_DOWNLOADS=never
# A slow index is no failure.
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-300}" UV_HTTP_RETRIES="${UV_HTTP_RETRIES:-8}" PIP_RETRIES="${PIP_RETRIES:-8}"

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1
}

find_python() {
    for candidate in $wanted python3.12 python3.13 python3; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

# A version like 3.13 as an interpreter that runs: a pyenv shim of it may exist and not run.
resolve() {
    for candidate in "$1" "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1"*/bin/python; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "$1"
}

# A pyenv shim of uv may exist and not run, so it is asked for its version.
if uv --version >/dev/null 2>&1; then
    uv=uv
elif .tools/bin/uv --version >/dev/null 2>&1; then
    uv=.tools/bin/uv
else
    python=$(find_python)
    if [ -z "$python" ]; then
        echo "MMM Workflows needs Python 3.12 or newer, and none was found: install it and run make again." >&2
        exit 2
    fi
    "$python" -m venv .tools
    .tools/bin/python -m pip install --quiet 'uv>=0.9'
    uv=.tools/bin/uv
fi

if [ -n "$wanted" ]; then
    wanted=$(resolve "$wanted")
else
    wanted=$("$uv" python find '>=3.12,<3.13' 2>/dev/null || "$uv" python find '>=3.12' 2>/dev/null || true)
    if [ -z "$wanted" ]; then
        echo "MMM Workflows needs Python 3.12 or newer, and none was found: install it and run make again." >&2
        exit 2
    fi
fi
# shellcheck disable=SC2086  one word per option
"$uv" sync --quiet --frozen --compile-bytecode --python "$wanted" $extras
