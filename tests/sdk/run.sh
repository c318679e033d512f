#!/usr/bin/env bash
# Lets a provider's official SDK talk to our simulator of it: tests/sdk/run.sh openai
#
# Each SDK is one file here, which names the packages it needs, version and all, in lines that
# begin with `# requires:`, and one test in tests/it/sdk.rs, which starts the simulator and hands
# the file its address. The virtual environment is made once, under target/.
set -euo pipefail
cd "$(dirname "$0")/../.."
name=${1:?which SDK? there are: $(basename -s .py tests/sdk/*.py | tr '\n' ' ')}
script=tests/sdk/$name.py
venv=${CARGO_TARGET_DIR:-target}/sdk/$name
requires=$(sed -n 's/^# requires: //p' "$script")
if [ "$(cat "$venv/requires" 2>/dev/null)" != "$requires" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    # shellcheck disable=SC2086 # one word for each package
    "$venv/bin/pip" install --quiet $requires
    printf '%s\n' "$requires" >"$venv/requires"
fi
SDK_PYTHON=$(realpath -s "$venv/bin/python") \
    cargo test --workspace --locked --test it -- --ignored --exact "sdk::$name"
