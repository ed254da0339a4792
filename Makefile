# On a new machine, `make search` and `make test` work at once: they install into .venv first.
PYTHON ?= python3
BIN := .venv/bin
STUDY := runs/cr
SET := best/cr
JOBS ?= 2

.PHONY: setup search test test-all test-times check lint types bench bench-full bench-accuracy soak help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/.installed  ## create .venv and install everything, with pinned versions

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

search: setup  ## run the whole workflow on the embedded digits: search, ensemble, export, evaluate, report
	$(BIN)/python -m raysearch.tune spaces/cr.yaml $(if $(wildcard $(STUDY)/study.yaml),--resume)
	$(BIN)/python -m raysearch.ensemble $(STUDY) --recipe ensembles/greedy.yaml
	rm -rf $(SET)
	$(BIN)/python -m raysearch.export $(STUDY) --out $(SET)
	$(BIN)/python -m raysearch.evaluate $(SET) --data digits --split test
	$(BIN)/python -m raysearch.report $(STUDY)
	@echo
	@echo "Done. Open $(STUDY)/report.html; the verified ensemble is in $(SET)."
	@echo "Next, with your own images (a folder with one folder per class):"
	@echo "  $(BIN)/python -m raysearch.tune spaces/photos32.yaml --data YOUR_FOLDER"
	@echo "  $(BIN)/python -m raysearch.predict $(SET) SOME_IMAGES"

test: setup  ## run the tests in JOBS processes
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-all: setup  ## also run the extra tests: hangs in Ray, the soak, a timed search, failing workers, large backbones
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --all

test-times: setup  ## run the tests in one process and count CPU seconds per file, child processes included
	$(BIN)/python -m pytest -p tests.cpu_seconds

lint: setup  ## check style and format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## check types with mypy
	$(BIN)/mypy

check: lint types test  ## run what CI runs: ruff, mypy, pytest

bench: setup  ## measure speed against other libraries (ONLY=name: one row)
	-@$(MAKE) --no-print-directory .venv-bench/.installed
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

bench-full: bench  ## run bench, and one training step of every backbone at its default image size
	$(BIN)/python -m benchmarks.full_backbones

bench-accuracy: setup  ## compare accuracy with other methods in the same time (ONLY=method DATA=set MINUTES=m LABELS=n)
	-@$(MAKE) --no-print-directory .venv-bench/.installed
	$(BIN)/python -m benchmarks.accuracy $(if $(ONLY),--only $(ONLY)) $(if $(DATA),--data $(DATA)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(LABELS),--labels $(LABELS))

soak: setup  ## kill processes of searches 24 times at random and check that no work is lost
	$(BIN)/python -m benchmarks.soak

.venv-bench/.installed: benchmarks/requirements.txt benchmarks/requirements-no-deps.txt constraints.txt
	$(BIN)/python -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r benchmarks/requirements.txt
	-sed '/^#/d' benchmarks/requirements-no-deps.txt | xargs -n 1 .venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps
	touch $@
