# The daily commands. `just` lists them.

default:
    @just --list

# The local stack, with simulated providers.
serve *ARGS:
    cargo run -- serve {{ARGS}}

# From a prompt to a video.
demo PROMPT="a paper boat on a rainy street" *ARGS:
    cargo run -- demo "{{PROMPT}}" {{ARGS}}

# The rules and the signatures alone: seconds, and no AWS SDK.
rules:
    cargo test --package domain --package signatures

# Less than a minute once built: rules, adapters, pages and plain flows.
fast:
    cargo nextest run --workspace --profile fast

# The flows, all or by name.
it *NAMES:
    cargo test --package tests --test it -- {{NAMES}}

# Many seeds of everything at once.
simulate SEEDS="20" JOBS="100":
    cargo run --release --package tests --bin simulate -- --seeds {{SEEDS}} --jobs {{JOBS}}

# What a release costs: `just bench functions`, `rules`, `copy`, `cost` or `load`.
bench WHAT *ARGS:
    infra/bench {{WHAT}} {{ARGS}}

lint:
    cargo fmt --check
    cargo lint

# Everything that CI does.
ci:
    .ci/run
