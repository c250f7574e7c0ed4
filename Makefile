# Every target sets up .venv by itself, once; `make help` lists them.

RECIPE ?= demo
SET    ?=
GPUS   ?= 1
ARGS   ?=
WHAT   ?= all
PYTHON ?= python3
# threads that wait by spinning make CPU runs several times slower when cores are shared
export OMP_WAIT_POLICY ?= PASSIVE

VENV := .venv
BIN  := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup pretrain submit show report seeds bench test test-all test-slurm lint types layers check format lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with the pinned packages (other targets do this by themselves)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "no venv module: apt-get install python3-venv"; exit 1; }
	@echo "Setting up $(VENV) (once; a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[dev]'
	@touch $@

pretrain: $(STAMP) ## Pretrain RECIPE=demo on GPUS=1; override with SET="optim.lr.peak=3e-4 train.steps=100"
	@$(BIN)/wmt pretrain $(RECIPE) $(SET) --processes $(GPUS) $(ARGS)

submit: $(STAMP) ## Pretrain RECIPE on SLURM; NODES=16, SBATCH="--partition=gpu --time=24:00:00"
	@$(BIN)/wmt show --run-dir $(RECIPE) $(SET)
	@sbatch $(if $(NODES),--nodes=$(NODES)) $(SBATCH) slurm/pretrain.sbatch $(RECIPE) $(SET)

show: $(STAMP) ## Print RECIPE resolved, with the origin of each value (ARGS=--cost for its budget)
	@$(BIN)/wmt show $(RECIPE) $(SET) $(ARGS)

report: $(STAMP) ## Evaluate the last checkpoint of RECIPE again and rewrite its report.html
	@$(BIN)/wmt report $(RECIPE) $(SET) $(ARGS)

seeds: $(STAMP) ## Run the demo with three seeds and print the table of docs/demo.md
	@for seed in 0 1 2; do $(BIN)/wmt pretrain demo train.seed=$$seed 'run_dir=runs/{name}_seed{seed}' || exit 1; done
	@$(BIN)/wmt compare runs/demo_seed0 runs/demo_seed1 runs/demo_seed2

bench: $(STAMP) ## Measure this machine: all, or WHAT=step ARGS="--recipe vjepa2_vits" (kernels, loader, memory)
	$(if $(and $(filter all,$(WHAT)),$(strip $(ARGS))),$(error ARGS goes with one benchmark, as each has its own options: add WHAT=step, kernels, loader or memory))
	@for what in $(if $(filter all,$(WHAT)),kernels step loader memory,$(WHAT)); do \
	  $(BIN)/python -m benchmarks $$what $(ARGS) || exit 1; done

test: $(STAMP) ## Run the tests that need no GPU and few minutes
	@$(BIN)/python -m pytest -q $(ARGS)

test-all: $(STAMP) ## Run every test this machine can run
	@$(BIN)/python -m pytest -q -m "not gpu and not slurm and not compile and not interpret" $(ARGS)
	@JAXTYPING_DISABLE=1 $(BIN)/python -m pytest -q -m "compile and not gpu" $(ARGS)
	@TRITON_INTERPRET=1 JAXTYPING_DISABLE=1 $(BIN)/python -m pytest -q -m "interpret and not gpu" $(ARGS)

test-slurm: $(STAMP) ## Run the batch scripts on a real SLURM of two nodes on this machine (root, Debian)
	@$(BIN)/python -m pytest -q -m slurm $(ARGS)

lint: $(STAMP) ## ruff: rules and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP) ## pyright
	@$(BIN)/pyright

layers: $(STAMP) ## import-linter: imports go down only
	@$(BIN)/lint-imports

check: lint types layers test ## Everything a change must pass

format: $(STAMP) ## Rewrite the code in the house format
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: $(STAMP) ## Write constraints.txt from what is installed
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean: ## Remove .venv and caches (runs/ stays)
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis
