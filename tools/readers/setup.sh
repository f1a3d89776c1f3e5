#!/bin/sh
# Makes tools/readers/.venv: DuckDB and its extension for SQLite's files, pinned, for the tests that read a store
# while a sweep writes to it. Safe to run again. Without it the test of DuckDB is skipped, and says so.
set -eu
cd "$(dirname "$0")"

wanted="duckdb==1.5.5 duckdb-extension-sqlite-scanner==1.5.5"
stamp=.venv/isoflop-readers

say() { echo "readers: $*" >&2; }
fail() { say "$*"; exit 1; }

# The stamp is written last: without it the environment is made anew.
if [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then
    say "nothing to do: $wanted are installed"
    exit 0
fi
rm -rf .venv
command -v python3 >/dev/null 2>&1 || fail "\`python3\` is missing: install Python 3.9 or newer"
say "making tools/readers/.venv with $(python3 --version)"
python3 -m venv .venv || {
    rm -rf .venv
    fail "python3 cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)"
}
say "installing $wanted into it (30 MB)"
# shellcheck disable=SC2086
.venv/bin/python -m pip install --quiet --disable-pip-version-check $wanted ||
    fail "pip failed: its message is above; run this again"
echo "$wanted" >$stamp
say "done"
