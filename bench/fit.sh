#!/bin/sh
# Fits against SciPy; arguments go to bench/fit_scipy.py. SciPy gets an environment of its own in
# .venv-bench; BENCH_PYTHON names an interpreter that has it already. No libtorch is needed.
set -eu
cd "$(dirname "$0")/.."

python=${BENCH_PYTHON:-.venv-bench/bin/python}
if ! "$python" -c 'import numpy, scipy' 2>/dev/null; then
    if [ -n "${BENCH_PYTHON:-}" ]; then
        echo "bench: BENCH_PYTHON=$BENCH_PYTHON cannot import numpy and scipy" >&2
        exit 1
    fi
    echo "bench: installing NumPy and SciPy into .venv-bench, once" >&2
    rm -rf .venv-bench
    python3 -m venv .venv-bench
    "$python" -m pip install --quiet numpy==2.4.6 scipy==1.17.1
fi
cargo build --release --quiet -p analysis --example fit_bench
echo "bench: timings are worthless while anything else runs; load is now $(cut -d' ' -f1 /proc/loadavg)" >&2
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
exec "$python" bench/fit_scipy.py "${CARGO_TARGET_DIR:-target}/release/examples/fit_bench" \
    --chinchilla ../shared/data/fits/epoch_chinchilla_svg.csv "$@"
