#!/usr/bin/env bash
# Lets a provider's official SDK talk to our simulator of it: tests/sdk/run.sh openai
#
# Each SDK is one file here, for Python or for Node, which names the packages it needs, version and
# all, in lines that begin with `# requires:` or `// requires:`, and one test in tests/it/sdk.rs, which
# starts the simulator and hands the file its address. What it needs is installed once, under target/.
set -euo pipefail
cd "$(dirname "$0")/../.."
known=$(cd tests/sdk && ls ./*.py ./*.mjs | sed 's|^\./||; s|\.[a-z]*$||' | tr '\n' ' ')
name=${1:?which SDK? there are: $known}
folder=$(realpath -sm "${CARGO_TARGET_DIR:-target}/sdk/$name")
python=tests/sdk/$name.py
script=$python
[ -e "$python" ] || script=tests/sdk/$name.mjs
requires=$(sed -n -E 's,^(#|//) requires: ,,p' "$script")
if [ "$(cat "$folder/requires" 2>/dev/null)" != "$requires" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    # shellcheck disable=SC2086 # one word for each package
    if [ "$script" = "$python" ]; then
        python3 -m venv "$folder"
        "$folder/bin/pip" install --quiet $requires
    else
        npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" $requires
    fi
    printf '%s\n' "$requires" >"$folder/requires"
fi
if [ "$script" = "$python" ]; then
    program=$folder/bin/python
else
    # Node looks for packages from the script's own folder on.
    cp "$script" "$folder/"
    script=$folder/$name.mjs
    program=$(command -v node)
fi
SDK_PROGRAM=$program SDK_SCRIPT=$(realpath "$script") \
    cargo test --workspace --locked --test it -- --ignored --exact "sdk::$name"
