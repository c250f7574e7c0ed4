# Every target sets up .venv by itself, once; `make help` lists them.

RECIPE ?= demo
SET    ?=
GPUS   ?= 1
ARGS   ?=
WHAT   ?= all
RUN    ?= runs/demo
TASK   ?=
JOBS   ?= 2
PYTHON ?= python3
# threads that wait by spinning make CPU runs several times slower when cores are shared
export OMP_WAIT_POLICY ?= PASSIVE
# where it is set (as in containers) each process would compile this package, and pytest its tests, anew
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN  := $(VENV)/bin
STAMP := $(VENV)/.installed
# one thread for each of the JOBS; a file's tests share what its fixtures make
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup pretrain submit show report eval plan family atlas seeds bench bench-gpu test test-all test-gpu test-slurm lint types layers check format schema docs lock clean

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
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --no-deps gym-pusht
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

eval: $(STAMP) ## Measure RUN=runs/demo again, or by one TASK=robustness alone; SET="robustness.seed=1"
	@$(BIN)/wmt eval $(RUN) $(SET) $(if $(TASK),--task $(TASK)) $(ARGS)

# where the episodes go; the recipes read them there
plan: export WMT_DATA := $(or $(WMT_DATA),runs/data)
WALKS := data collect envs/two_rooms --policy walk --longest 20 --world goal_radius=0
ROOMS := leworldmodel_two_rooms
plan: $(STAMP) ## From nothing to an agent in two rooms: collect, train, and reach goals beside baselines
	@$(BIN)/wmt $(WALKS) $$WMT_DATA/two_rooms --episodes 500
	@$(BIN)/wmt $(WALKS) $$WMT_DATA/two_rooms/held_out --episodes 60 --seed 1
	@for recipe in $(ROOMS)_floor $(ROOMS); do $(BIN)/wmt pretrain $$recipe $(SET) || exit 1; done
	@$(BIN)/wmt plan runs/$(ROOMS) --beside runs/$(ROOMS)_floor $(ARGS)

family: $(STAMP) ## Train every recipe *_films on the same films and write docs/family.md (ARGS="--seeds 3" for spreads)
	@$(BIN)/python -m benchmarks.family $(ARGS) $(SET)

atlas: $(STAMP) ## Write RUN=runs/demo's atlas.html: what its encoder holds, on films of which all is known
	@$(BIN)/wmt atlas $(RUN) $(ARGS)

seeds: $(STAMP) ## Run the demo with three seeds and print the table of docs/demo.md
	@for seed in 0 1 2; do $(BIN)/wmt pretrain demo train.seed=$$seed 'run_dir=runs/{name}_seed{seed}' || exit 1; done
	@$(BIN)/wmt compare runs/demo_seed0 runs/demo_seed1 runs/demo_seed2

bench: $(STAMP) ## Measure this machine: all, or WHAT=step ARGS="--recipe vjepa2_vits" (kernels, loader, memory)
	$(if $(and $(filter all,$(WHAT)),$(strip $(ARGS))),$(error ARGS goes with one benchmark, as each has its own options: add WHAT=step, kernels, loader or memory))
	@for what in $(if $(filter all,$(WHAT)),kernels step loader memory,$(WHAT)); do \
	  $(BIN)/python -m benchmarks $$what $(ARGS) || exit 1; done

# where there is no GPU, the same commands at sizes of moments
TINY := --recipe demo method.encoder.size.width=48 method.encoder.size.depth=1 method.encoder.size.heads=2 \
  method.predictor.width=24 method.predictor.depth=1 train.micro_batch=2 train.global_batch=2
TRIED := $(if $(DRY),--device cpu --results "$${TMPDIR:-/tmp}/bench-gpu",--device cuda)

bench-gpu: $(STAMP) ## Measure kernels, steps and memory on one GPU; DRY=1 tries the commands on a CPU
	@failed=; try() { echo "== $$*"; $(BIN)/python -m benchmarks "$$@" $(TRIED) || failed="$$failed $$1"; }; \
	  try kernels --threads 0 --rounds $(if $(DRY),1,7); \
	  try step --threads 0 $(if $(DRY),--rounds 1 $(TINY),--rounds 5 --batches 8); \
	  $(if $(DRY),,try step --threads 0 --rounds 5 --batches 8 --compile;) \
	  try memory $(if $(DRY),$(TINY)); \
	  test -z "$$failed" || { echo "not everything was measured:$$failed"; exit 1; }

test: $(STAMP) ## Run the tests that need no GPU and few minutes; JOBS=8 runs eight files at a time
	@$(PYTEST) $(ARGS)

test-all: test ## Run every test this machine can run
	@$(PYTEST) -m "(slow or distributed) and not (gpu or slurm or compile or interpret)" $(ARGS)
	@JAXTYPING_DISABLE=1 $(PYTEST) -m "compile and not gpu" $(ARGS)
	@TRITON_INTERPRET=1 JAXTYPING_DISABLE=1 $(PYTEST) -m "interpret and not gpu" $(ARGS)

# torch.compile cannot trace the shape checks; a GPU's libraries warn of what no test here can know
test-gpu: $(STAMP) ## Run the tests that need a GPU; DRY=1 only collects them, on any machine
	@JAXTYPING_DISABLE=1 $(BIN)/python -m pytest -q -m gpu -W default $(if $(DRY),--collect-only) $(ARGS)

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

schema: $(STAMP) ## Store the schema of recipes anew, once a configuration has changed
	@$(BIN)/python -m worldmodel_train.cli.store_schema

# pdoc warns of what it cannot import, read or resolve
docs: $(STAMP) ## Build the API reference from docstrings into site/
	@rm -rf site
	@$(BIN)/python -W error::UserWarning:pdoc.doc -W error::UserWarning:pdoc.doc_ast \
	  -W error::UserWarning:pdoc.doc_types -W error::UserWarning:pdoc.extract -m pdoc \
	  --docformat google --output-directory site worldmodel_train worldmodel_kernels '!worldmodel_train\.__main__'

lock: $(STAMP) ## Write constraints.txt from what is installed
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean: ## Remove .venv and caches (runs/ stays)
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis
