#!/usr/bin/env bash
# Lets official SDKs talk to our simulators and read what we send: tests/sdk/run.sh openai
#
# Each is one file here, for Python or for Node, which names the packages it needs, version and all, in
# lines that begin with `# requires:` or `// requires:`, and one test in tests/it/sdk.rs, which starts
# what the file talks to. The packages are installed once, under target/.
set -euo pipefail
cd "$(dirname "$0")/../.."
name=${1:?which SDK? there are: $(cd tests/sdk && ls ./*.py ./*.mjs | sed 's|./||; s|\..*||' | tr '\n' ' ')}
script=$(find tests/sdk -name "$name.py" -o -name "$name.mjs")
folder=${CARGO_TARGET_DIR:-target}/sdk/$name
requires=$(sed -nE 's,^(#|//) requires: ,,p' "$script")
if [ "$(cat "$folder/requires" 2>/dev/null)" != "$requires" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    # shellcheck disable=SC2086 # one word for each package
    case $script in
        *.py)
            python3 -m venv "$folder"
            "$folder/bin/pip" install --quiet $requires
            ;;
        *.mjs) npm install --silent --no-audit --no-fund --prefix "$folder" $requires ;;
    esac
    printf '%s\n' "$requires" >"$folder/requires"
fi
SDK_PYTHON=$(realpath -ms "$folder/bin/python") SDK_MODULES=$(realpath -m "$folder/node_modules") \
    cargo test --workspace --locked --test it -- --ignored --exact "sdk::$name"
