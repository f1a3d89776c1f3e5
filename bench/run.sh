#!/bin/sh
# Speed, as ratios within one run; on an idle machine. `make bench` calls it.
set -eu
cd "$(dirname "$0")/.."

bench/step.sh
bench/step.sh --precision bf16 --model 48x4 --model 96x6
bench/recipes.sh
bench/noop.sh
bench/fit.sh
