#!/bin/sh
# Installs Slurm's programs, so that the tests of the Slurm engine can start a cluster of their own on
# this machine: none that is installed is started, stopped or set up. Debian and Ubuntu; safe to run
# again. Without it those tests are skipped, and say so; nothing else needs it.
set -eu

packages="slurmctld slurmd slurm-client munge"

say() { echo "setup-slurm: $*" >&2; }
fail() { say "$*"; exit 1; }

# slurmctld, slurmd and munged are in folders that not every user's PATH has.
is_there() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1
}

missing() {
    for program in slurmctld slurmd sbatch squeue scancel scontrol sinfo munged; do
        is_there "$program" || echo "$program"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

if [ -z "$(missing)" ]; then
    say "nothing to do: $(PATH="$PATH:/usr/sbin:/sbin" slurmctld -V) is installed"
    exit 0
fi

is_there apt-get || fail "without apt-get, install $packages in your system's way"
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || fail "not root, and sudo wants a password: sudo apt-get install $packages"
fi
say "installing $packages (13 MB)"
export DEBIAN_FRONTEND=noninteractive
install() { as_root apt-get install -y -qq --no-install-recommends $packages >/dev/null; }
# The list of packages may be missing or old: it is fetched where the first try fails.
install 2>/dev/null || { as_root apt-get update -qq && install; } ||
    fail "apt-get could not install $packages: its message is above"
[ -z "$(missing)" ] || fail "still missing after the installation:" $(missing)
say "installed $(PATH="$PATH:/usr/sbin:/sbin" slurmctld -V)"
