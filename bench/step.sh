#!/bin/sh
# Training step against PyTorch eager and timm; arguments go to bench/step.py. The baseline runs in
# tools/parity/.venv (1.5 GB); BENCH_PYTHON names an interpreter that has torch and timm already.
set -eu
cd "$(dirname "$0")/.."

python=${BENCH_PYTHON:-tools/parity/.venv/bin/python}
[ -n "${BENCH_PYTHON:-}" ] || tools/parity/setup.sh
if ! "$python" -c 'import timm' 2>/dev/null; then
    echo "bench: $python cannot import timm" >&2
    exit 1
fi
cargo build --release --quiet -p train --example bench_step
echo "bench: timings are worthless while anything else runs; load is now $(cut -d' ' -f1 /proc/loadavg)" >&2
exec "$python" bench/step.py "${CARGO_TARGET_DIR:-target}/release/examples/bench_step" "$@"
