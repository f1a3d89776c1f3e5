#!/usr/bin/env bash
# Draws the pictures of docs/gallery.md again, by the commands that the page names, from a store that
# has the sweep `small`: scripts/gallery.sh [STORE]
set -euo pipefail
cd "$(dirname "$0")/.."
db=${1:-results/isoflop.db}
isoflop=target/release/isoflop
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

draw() { "$isoflop" figures small --db "$db" --out "$work" --size column "$@" > /dev/null; }
draw
draw --theme dark
draw --theme print --untitled
for kind in scaling data_size loss_curves isoflop optimum contours; do
    cp "$work/$kind-column.png" "docs/figures/gallery-$kind.png"
done
cp "$work/scaling-dark-column.png" docs/figures/gallery-dark.png
cp "$work/scaling-print-column-untitled.png" docs/figures/gallery-print.png

"$isoflop" fit small --db "$db" --law m2 --figure docs/figures/gallery-fit.png --size column > /dev/null
"$isoflop" query --db "$db" --format csv \
    "select shape, train_flops, val_error from trial_result
     where sweep = 'small' and state = 'finished' and unique_examples > 100000" > "$work/runs.csv"
columns=(--csv "$work/runs.csv" --x train_flops --y val_error --group shape --size column)
"$isoflop" fit "${columns[@]}" --law m1 --figure docs/figures/gallery-forest.png > /dev/null
"$isoflop" backtest "${columns[@]}" --figure docs/figures/gallery-backtest.png > /dev/null
echo "gallery: drew docs/figures/gallery-*.png"
