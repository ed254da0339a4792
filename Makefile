# `make search` and `make test` are all a fresh machine needs; both install into .venv first.
PYTHON ?= python3
BIN := .venv/bin
STUDY := runs/cr
SET := best/cr
JOBS ?= 2

.PHONY: setup search test check lint types bench bench-full soak help

help:  ## list what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/.installed  ## make .venv and install everything, pinned

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

search: setup  ## the main job on the embedded digits: search, ensemble, export, report
	$(BIN)/python -m raysearch.tune spaces/cr.yaml $(if $(wildcard $(STUDY)/study.yaml),--resume)
	$(BIN)/python -m raysearch.ensemble $(STUDY) --recipe ensembles/greedy.yaml
	rm -rf $(SET)
	$(BIN)/python -m raysearch.export $(STUDY) --out $(SET)
	$(BIN)/python -m raysearch.evaluate $(SET) --data digits --split test
	$(BIN)/python -m raysearch.report $(STUDY)
	@echo
	@echo "Done. Open $(STUDY)/report.html; the verified ensemble is in $(SET)."
	@echo "Next, with your own images (a folder of class folders):"
	@echo "  $(BIN)/python -m raysearch.tune spaces/photos32.yaml --data YOUR_FOLDER"
	@echo "  $(BIN)/python -m raysearch.predict $(SET) SOME_IMAGES"

test: setup  ## run the tests, a file at a time in each of JOBS processes
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test  ## what CI runs: ruff, mypy, pytest

bench: setup  ## measure the speed against peers (ONLY=name: one row)
	-@$(MAKE) --no-print-directory .venv-bench/.installed
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

bench-full: bench  ## and build, train and run every backbone at its own size
	$(BIN)/python -m benchmarks.full_backbones

soak: setup  ## kill searches at random, 24 times, and check that nothing is lost
	$(BIN)/python -m benchmarks.soak

.venv-bench/.installed: benchmarks/requirements.txt benchmarks/requirements-no-deps.txt constraints.txt
	$(BIN)/python -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r benchmarks/requirements.txt
	-sed '/^#/d' benchmarks/requirements-no-deps.txt | xargs -n 1 .venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps
	touch $@
