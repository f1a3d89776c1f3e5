#!/bin/sh
# Installs what the tests of the live page drive: Debian's chromium, and playwright-core and axe-core into
# tools/browser/node_modules. Debian and Ubuntu; safe to run again. Without it those tests are skipped, and
# say so; nothing else needs it.
set -eu
cd "$(dirname "$0")/../tools/browser"

# npm, and a font: without any, a page has no letters.
packages="chromium fonts-dejavu-core"

say() { echo "setup-browser: $*" >&2; }
fail() { say "$*"; exit 1; }
is_there() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

is_there npm && is_there node || packages="$packages nodejs npm"
if ! is_there chromium || ! is_there npm; then
    is_there apt-get || fail "without apt-get, install $packages in your system's way"
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || fail "not root, and sudo wants a password: sudo apt-get install $packages"
    fi
    say "installing $packages (100 MB)"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    install() { as_root apt-get install -y -qq --no-install-recommends $packages >/dev/null; }
    install 2>/dev/null || { as_root apt-get update -qq && install; } ||
        fail "apt-get could not install $packages: its message is above"
fi
# npm writes its own list of what it installed last.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    say "installing playwright-core and axe-core into tools/browser (10 MB)"
    npm ci --no-progress >/dev/null || fail "npm could not install them: its message is above"
    touch node_modules/.package-lock.json
fi
say "ready: $(chromium --version 2>/dev/null), node $(node --version)"
