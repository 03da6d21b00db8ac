# Each target works as the first command on a fresh clone: `install` makes .venv with all it needs.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
FILES ?= 5000
SEED ?= 1

.PHONY: help install demo test check fuzz mutations clean

help:
	@echo "make demo     sample videos -> a registered generator, on services of this machine"
	@echo "make test     checks, unit, integration and end-to-end tests"
	@echo "make check    linters, types, import contracts, architecture: seconds"
	@echo "make fuzz     ingest of 5000 damaged videos; FILES=N for more, SEED=S for others"
	@echo "make mutations faults seeded into the training core: each must fail a test; minutes"
	@echo "make install  .venv with everything, at the versions of infra/constraints.txt"
	@echo "make clean    stop the embedded services; remove .venv, .videogen and caches"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml infra/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than 3.11; set PYTHON=python3.11 or newer"; exit 1; }
	@echo "Installing into .venv (a few minutes, 2.5 GB with the CPU build of torch) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install -qq --constraint infra/constraints.txt --editable ".[all]" --group dev
	@touch $@

demo: install
	@$(BIN)/videogen stack up
	@$(BIN)/videogen samples .videogen/samples --num-videos 256 --seed 0
	@$(BIN)/videogen run demo
	@$(BIN)/videogen generate --model models:/demo@challenger -n 16 --seed 0 --out .videogen/generated --format mp4
	@$(BIN)/videogen generate --model models:/demo@challenger -n 16 --seed 0 --out .videogen/generated --format sheet
	@$(BIN)/videogen stack status

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/deptry . --no-ansi
	@$(BIN)/pytest -q tests/test_architecture.py

test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/unit tests/integration -m "not machine" -n 2 --dist loadfile --durations=5
	$(BIN)/pytest tests/integration tests/e2e -m machine --durations=10

mutations: install
	@$(BIN)/python tests/mutations/run.py

fuzz: install
	$(BIN)/pytest tests/unit/ingest/test_fuzz.py --fuzz $(FILES) --fuzz-seed $(SEED)

clean:
	@[ ! -x $(BIN)/videogen ] || $(BIN)/videogen stack down
	rm -rf .venv .videogen build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
