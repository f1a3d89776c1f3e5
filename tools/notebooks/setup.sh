#!/bin/sh
# Makes tools/notebooks/.venv: polars, matplotlib and a Jupyter kernel, pinned in requirements.txt. Safe to run
# again, and after an interruption. Without it the tests that execute notebooks are skipped, and say so.
set -eu
cd "$(dirname "$0")"

stamp=.venv/isoflop-notebooks

say() { echo "notebooks: $*" >&2; }
fail() { say "$*"; exit 1; }

# The stamp is written last: without it, or with other pins, the environment is made anew.
if cmp -s requirements.txt $stamp; then exit 0; fi

[ ! -e .venv ] || say "removing the unfinished or older tools/notebooks/.venv"
rm -rf .venv
command -v python3 >/dev/null 2>&1 || fail "\`python3\` is missing: install Python 3.11 or newer"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is too old: 3.11 or newer is needed"
say "making tools/notebooks/.venv with $(python3 --version)"
python3 -m venv .venv || {
    rm -rf .venv
    fail "python3 cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)"
}
say "installing polars, matplotlib and a Jupyter kernel into it (0.4 GB)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt ||
    fail "pip failed: its message is above; run this again"
.venv/bin/python -m pip check --disable-pip-version-check >/dev/null || fail "requirements.txt lacks something: $(.venv/bin/python -m pip check)"
cp requirements.txt $stamp
say "done"
