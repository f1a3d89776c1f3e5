#!/bin/sh
# What recipes cost in time and memory; arguments go to bench/recipes.py.
set -eu
cd "$(dirname "$0")/.."

cargo build --release --quiet -p train --example bench_step
exec python3 bench/recipes.py "${CARGO_TARGET_DIR:-target}/release/examples/bench_step" "$@"
