#!/bin/sh
# Makes libtorch available at .libtorch, once. Safe to run again, and after an interruption.
#
# libtorch comes from PyTorch's wheel in .venv, whose one CUDA build serves CPU and GPU machines.
# A libtorch of your own: LIBTORCH=/path/to/libtorch make setup
set -eu
cd "$(dirname "$0")/.."

torch=2.11.0

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

need() {
    command -v "$1" >/dev/null 2>&1 || fail "\`$1\` is missing: $2"
}

# The version of the libtorch in folder $1; wheels write it in version.py, zip archives in build-version.
version_of() {
    if [ -f "$1/version.py" ]; then
        sed -n "s/^__version__ = '\([^']*\)'.*/\1/p" "$1/version.py"
    elif [ -f "$1/build-version" ]; then
        cat "$1/build-version"
    fi
}

is_right_libtorch() {
    [ -f "$1/lib/libtorch_cpu.so" ] || return 1
    case "$(version_of "$1")" in
        "$torch" | "$torch"+*) return 0 ;;
        *) return 1 ;;
    esac
}

# CUDA's own libraries (3 GB) only where a GPU could use them.
wanted() {
    if nvidia-smi >/dev/null 2>&1; then echo "torch $torch, all libraries"; else echo "torch $torch, CPU"; fi
}

make_venv() {
    [ ! -e .venv ] || say "removing the unfinished or older .venv"
    rm -rf .venv
    need python3 "install Python 3.10 or newer"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$(python3 --version) is too old for torch $torch: 3.10 or newer is needed"
    say "making .venv with $(python3 --version)"
    python3 -m venv .venv || {
        rm -rf .venv
        fail "python3 cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)"
    }
}

# The torch folder of whatever Python made .venv.
installed() {
    ls -d .venv/lib/python3.*/site-packages/torch 2>/dev/null | head -n 1
}

# The stamp is written last. Without it .venv is made anew: pip takes half an installation for a whole one.
install_torch() {
    stamp=.venv/isoflop-setup
    if [ "$(cat $stamp 2>/dev/null)" = "$(wanted)" ] && is_right_libtorch "$(installed)"; then return; fi
    make_venv
    say "installing $(wanted) into .venv (0.5 GB without CUDA's libraries, 5 GB with them)"
    case "$(wanted)" in
        *CPU) .venv/bin/python -m pip install --quiet --no-deps \
            "torch==$torch" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85 ;;
        *) .venv/bin/python -m pip install --quiet "torch==$torch" ;;
    esac || fail "pip could not install torch $torch: its message is above; \`make setup\` tries again"
    wanted >$stamp
}

link() {
    if [ "$(readlink .libtorch 2>/dev/null)" = "$1" ]; then return; fi
    [ ! -e .libtorch ] || [ -L .libtorch ] || fail ".libtorch is no link that setup made: move it away"
    say "linking .libtorch to $1"
    ln -sfn "$1" .libtorch
}

need cargo "install Rust from https://rustup.rs"
need "${CXX:-c++}" "install a C++ compiler (Debian, Ubuntu: apt install g++)"

if [ -n "${LIBTORCH:-}" ] && [ "$LIBTORCH" != .libtorch ] && [ "$LIBTORCH" != "$PWD/.libtorch" ]; then
    is_right_libtorch "$LIBTORCH" ||
        fail "LIBTORCH=$LIBTORCH holds libtorch \`$(version_of "$LIBTORCH")\`, where $torch is needed; unset LIBTORCH to have it installed"
    link "$(cd "$LIBTORCH" && pwd)"
else
    install_torch
    is_right_libtorch "$(installed)" || fail "pip installed no complete torch $torch into .venv"
    link "$(installed)"
fi
