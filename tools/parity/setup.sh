#!/bin/sh
# Makes tools/parity/.venv: timm and the PyTorch it needs, pinned. Safe to run again, and after an interruption.
#
# Everything runs on the CPU, so most of CUDA's libraries (3.5 GB) stay out; stubs.py says what takes their place.
set -eu
cd "$(dirname "$0")"

# The reference, installed alone; what it imports follows.
reference="torch==2.11.0 torchvision==0.26.0 timm==1.0.31 safetensors==0.8.0
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85"
imports="numpy==2.3.5 pillow==12.0.0 pyyaml==6.0.3 filelock==3.20.0 typing_extensions==4.15.0 sympy==1.14.0
    networkx==3.5 jinja2==3.1.6 fsspec==2025.10.0 mpmath==1.3.0 markupsafe==3.0.3 setuptools==80.9.0
    huggingface_hub==0.36.0 requests==2.32.5 urllib3==2.5.0 idna==3.11 certifi==2025.10.5 charset_normalizer==3.4.4
    packaging==25.0 tqdm==4.67.1"
wanted=$(echo "$reference $imports" | tr -s ' \n' ' ')
stamp=.venv/isoflop-parity

say() { echo "parity: $*" >&2; }
fail() { say "$*"; exit 1; }

# The stamp is written last: without it the environment is made anew.
if [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then exit 0; fi

[ ! -e .venv ] || say "removing the unfinished or older tools/parity/.venv"
rm -rf .venv
need() {
    command -v "$1" >/dev/null 2>&1 || fail "\`$1\` is missing: $2"
}
need python3 "install Python 3.11 or newer"
need cc "install a C compiler (Debian, Ubuntu: apt install gcc)"
need nm "install binutils"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is too old: 3.11 or newer is needed"
say "making tools/parity/.venv with $(python3 --version)"
python3 -m venv .venv || {
    rm -rf .venv
    fail "python3 cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)"
}
say "installing PyTorch and timm into it (1.5 GB)"
# shellcheck disable=SC2086
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $reference &&
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $imports ||
    fail "pip failed: its message is above; run this again"
.venv/bin/python stubs.py .venv/lib/python3.*/site-packages/torch/lib || fail "the stand-ins for CUDA's libraries could not be built"
.venv/bin/python -c 'import timm, torch, safetensors.torch; torch.ones(2).sum()' || fail "the installed timm cannot be imported"
echo "$wanted" >$stamp
say "done"
