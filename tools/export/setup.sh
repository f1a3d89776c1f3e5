#!/bin/sh
# Makes tools/export/.venv: TensorBoard, MLflow and W&B, pinned, with which the tests read what `isoflop export`
# writes. Safe to run again, and after an interruption. Without it those tests are skipped, and say so.
set -eu
cd "$(dirname "$0")"

say() { echo "setup-exports: $*" >&2; }
fail() { say "$*"; exit 1; }

stamp=.venv/isoflop-exports
# The stamp is written last: without it the environment is made anew.
if cmp -s requirements.txt $stamp; then exit 0; fi

command -v python3 >/dev/null 2>&1 || fail "\`python3\` is missing: install Python 3.11 or newer"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is too old: 3.11 or newer is needed"
[ ! -e .venv ] || say "removing the unfinished or older tools/export/.venv"
rm -rf .venv
say "making tools/export/.venv with $(python3 --version), and installing TensorBoard, MLflow and W&B into it (1 GB)"
python3 -m venv .venv || {
    rm -rf .venv
    fail "python3 cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)"
}
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt ||
    fail "pip failed: its message is above; run this again"
for program in tensorboard mlflow wandb; do
    .venv/bin/$program --version >/dev/null 2>&1 || fail "the installed $program does not start"
done
cp requirements.txt $stamp
say "done"
