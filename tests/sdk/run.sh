#!/usr/bin/env bash
# Lets a provider's official SDK talk to our simulator of it: tests/sdk/run.sh openai
#
# Each SDK is one file here, for Python or for Node, which names the packages it needs, version and
# all, in lines that begin with `# requires:` or `// requires:`, and one test in tests/it/sdk.rs, which
# starts the simulator and hands the file its address. What it needs is installed once, under target/.
set -euo pipefail
cd "$(dirname "$0")/../.."
name=${1:?which SDK?}
tests/sdk/install "$name"
folder=$(realpath -sm "${CARGO_TARGET_DIR:-target}/sdk/$name")
python=tests/sdk/$name.py
script=$python
[ -e "$python" ] || script=tests/sdk/$name.mjs
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
