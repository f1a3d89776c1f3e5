#!/bin/sh
# Makes tools/$1/.venv out of tools/$1/requirements.txt, which pins everything in it; $2 says what that is. Safe to
# run again, and after an interruption. Without it the tests that need it are skipped, and say so.
set -eu
cd "$(dirname "$0")/../tools/$1"

say() { echo "tools/$name: $*" >&2; }
fail() { say "$*"; exit 1; }

name=$1
stamp=.venv/isoflop-$name
# The stamp is written last: without it, or with other pins, the environment is made anew.
if cmp -s requirements.txt "$stamp"; then exit 0; fi

command -v python3 >/dev/null 2>&1 || fail "\`python3\` is missing: install Python 3.11 or newer"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is too old: 3.11 or newer is needed"
[ ! -e .venv ] || say "removing the unfinished or older .venv"
rm -rf .venv
say "making .venv with $(python3 --version), and installing $2 into it"
python3 -m venv .venv || {
    rm -rf .venv
    fail "python3 cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)"
}
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt ||
    fail "pip failed: its message is above; run this again"
lacks=$(.venv/bin/python -m pip check --disable-pip-version-check) || fail "requirements.txt lacks something: $lacks"
cp requirements.txt "$stamp"
say "done"
