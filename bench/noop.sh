#!/bin/sh
# What is planned and coordinated in a second, with trainers that only pretend: 10,000 trials planned, 2,000
# no-op segments through the local engine, stored and with every check on; the same tasks through HyperQueue
# where `hq` is found. On an idle machine.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --workspace --bins --quiet
isoflop="$PWD/target/release/isoflop"
export ISOFLOP_TRAINER="$PWD/target/release/fake-trainer"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# A sweep of $2 seeds and so many lengths of one size.
sweep() {
    seeds=$(seq -s, 0 $(($2 - 1)))
    cat >"$1.toml" <<TOML
name = "$1"
seeds = [$seeds]
[data]
source = "procedural"
classes = 8
[model]
family = "vit"
patch = 16
shapes = [{ width = 8, depth = 1, mlp = 16, heads = 1 }]
[axes]
unique_examples = [256]
examples_seen = [$3]
[train]
batch = 16
learning_rate = 1e-3
schedule = { decay = "rsqrt", timescale = 40, warmup = 5, cooldown = $4 }
[eval]
examples = 128
TOML
}

seconds() {
    start=$(date +%s%N)
    "$@" >/dev/null 2>&1
    echo "$start $(date +%s%N)" | awk '{ printf "%.3f", ($2 - $1) / 1e9 }'
}

sweep plan 1000 "640, 1280, 2560, 5120, 10240, 20480, 40960, 81920, 163840, 327680" 0.2
echo "plan of 10,000 trials in 20,000 segments: $(seconds "$isoflop" plan plan.toml) s (goal: 1 s)"

sweep noop 2000 160 0
first=$(seconds "$isoflop" sweep noop.toml --devices cpu:2 --quiet)
again=$(seconds "$isoflop" sweep noop.toml --devices cpu:2 --quiet)
echo "$first $again" | awk '{ printf "2,000 no-op trials, two warm trainers: %.0f a second with planning, storing and fitting (%.2f s), and again %.2f s (goal: 500 a second)\n", 2000 / $1, $1, $2 }'

if command -v hq >/dev/null 2>&1; then
    export HQ_SERVER_DIR="$folder/hq"
    hq server start >server.log 2>&1 &
    sleep 1
    hq worker start --cpus 2 >worker.log 2>&1 &
    sleep 1
    took=$(seconds hq submit --wait --array 1-2000 --stdout none --stderr none true)
    hq server stop >/dev/null 2>&1
    echo "$took" | awk '{ printf "HyperQueue, 2,000 tasks `true` on two cores: %.0f a second\n", 2000 / $1 }'
else
    echo "HyperQueue: no \`hq\` on this machine"
fi
