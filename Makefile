# isoflop: `make` alone prints this list.
#
#   make sweep GRID=small    train, store, fit and draw experiments/small.toml; run again to continue
#   make plan GRID=medium    trials, shared segments, FLOPs and hours, before anything is trained
#   make figures GRID=small  figures again, from the store alone
#   make report GRID=small   one page of what was asked, found and spent
#   make query SQL="..."     ask the store; read-only
#   make notebooks           execute notebooks/ on the store, and keep what comes out
#   make test                every test, with the real trainer
#   make check               formatting, lints, docs
#   make parity              outputs and training steps against timm's; N=200 for as many random models too
#   make bench               speed, as ratios; on an idle machine
#   make soak KILLS=500      the tests of kills, with so many of them
#   make docs                docs/store.md again, from the store's own dictionary
#   make setup               libtorch into .venv and .libtorch; the others call it
#   make setup-browser       chromium and playwright-core, for the tests of the live page; asks apt-get and npm
#   make setup-exports       TensorBoard, MLflow and W&B, for the tests of `isoflop export`
#   make setup-notebooks     polars, matplotlib and a Jupyter kernel, for notebooks/ and their tests
#   make setup-readers       DuckDB, for the test that reads with it while a sweep writes
#   make setup-slurm         Slurm's programs, for the tests of --engine slurm; asks apt-get
#   make build               the two programs, into target/release
#   make data-cifar10 FROM=cifar10-jpeg.tar.gz    unpack real images into data/cifar10
#   make clean               remove what was built; results stay
#
# Variables: GRID (a file of experiments/), DEVICES (auto, cpu:2, cuda:0,1), SET ("key=value ..."), DB, N.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-browser setup-exports setup-notebooks setup-readers setup-slurm build sweep plan figures report query notebooks test check docs parity bench soak data-cifar10 clean

GRID ?= small
DEVICES ?= auto
DB ?= results/isoflop.db
FORMAT ?= table
N ?= 0
KILLS ?= 500
CARGO := cargo
ISOFLOP := target/release/isoflop
SETTINGS := $(foreach pair,$(SET),--set '$(pair)')

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

setup:
	@scripts/setup.sh

setup-browser:
	@scripts/setup-browser.sh

setup-exports:
	@scripts/venv.sh export 'TensorBoard, MLflow and W&B (1 GB)'

setup-notebooks:
	@scripts/venv.sh notebooks 'polars, matplotlib and a Jupyter kernel (0.4 GB)'

setup-readers:
	@scripts/venv.sh readers 'DuckDB (30 MB)'

setup-slurm:
	@scripts/setup-slurm.sh

# The first build takes about five minutes and shows what it does; later ones are silent.
build: setup
	@$(CARGO) build --release $(if $(wildcard $(ISOFLOP)),--quiet) --bin isoflop --bin isoflop-trainer

sweep: build
	@$(ISOFLOP) sweep --db '$(DB)' --devices '$(DEVICES)' $(SETTINGS) 'experiments/$(GRID).toml'

plan: build
	@$(ISOFLOP) plan --devices '$(DEVICES)' $(SETTINGS) 'experiments/$(GRID).toml'

figures: build
	@$(ISOFLOP) figures --db '$(DB)' '$(GRID)'

report: build
	@$(ISOFLOP) report --db '$(DB)' '$(GRID)'

# SQL reaches the program through the environment, whatever quotes it holds.
query: export ISOFLOP_SQL = $(SQL)
query: build
	@$(ISOFLOP) query --db '$(DB)' --format '$(FORMAT)' "$$ISOFLOP_SQL"

notebooks: build setup-notebooks
	@ISOFLOP="$$(realpath '$(ISOFLOP)')" ISOFLOP_DB="$$(realpath -m '$(DB)')" \
		tools/notebooks/.venv/bin/python tools/notebooks/notebooks.py execute notebooks/*.ipynb --out notebooks

test: setup
	$(CARGO) build --release --workspace --bins
	$(CARGO) test --release --workspace

check: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --release --workspace --no-deps --document-private-items

docs:
	ISOFLOP_WRITE_DOCS=1 $(CARGO) test --release --workspace --test docs

parity: build
	@tools/parity/setup.sh
	@tools/parity/.venv/bin/python tools/parity/compare.py '$(ISOFLOP)-trainer' --random '$(N)'

bench: build
	@bench/run.sh

soak: setup
	$(CARGO) build --release --workspace --bins
	ISOFLOP_FAULT_KILLS='$(KILLS)' $(CARGO) test --release --workspace --test faults -- --nocapture --test-threads 1

data-cifar10:
	@scripts/data-cifar10.sh '$(FROM)'

clean:
	$(CARGO) clean
