#!/bin/sh
# Training step against PyTorch eager; arguments go to bench/step.py. The baseline needs the whole of
# PyTorch (5 GB), which goes into bench/.venv; BENCH_PYTHON names an interpreter that has it already.
set -eu
cd "$(dirname "$0")/.."

python=${BENCH_PYTHON:-bench/.venv/bin/python}
if ! "$python" -c 'import torch' 2>/dev/null; then
    if [ -n "${BENCH_PYTHON:-}" ]; then
        echo "bench: BENCH_PYTHON=$BENCH_PYTHON cannot import torch" >&2
        exit 1
    fi
    echo "bench: installing PyTorch into bench/.venv, once" >&2
    rm -rf bench/.venv
    python3 -m venv bench/.venv
    "$python" -m pip install --quiet torch==2.11.0 numpy
fi
cargo build --release --quiet -p train --example bench_step
echo "bench: timings are worthless while anything else runs; load is now $(cut -d' ' -f1 /proc/loadavg)" >&2
exec "$python" bench/step.py "${CARGO_TARGET_DIR:-target}/release/examples/bench_step" "$@"
