# gridcode: every target sets up what it needs. `make demo` is the place to start.
#
# TORCH overrides torch's version or source: make test TORCH="torch==2.6.0", or TORCH="torch --index-url <address>".
# JOBS is the number of processes that share the tests: make test JOBS=1.

VENV    := .venv
PYTHON  ?= python3
BIN     := $(VENV)/bin
TORCH   ?= $(shell cat constraints.txt)
EXTRAS  ?= dev
JOBS    ?= 2
UV      := $(shell command -v uv 2>/dev/null)
PACKAGE := .$(if $(EXTRAS),[$(EXTRAS)])
READY   := $(VENV)/.ready-$(EXTRAS)

# uv reads its own variables; where pip was told of local wheels, uv is told too.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

.PHONY: setup demo test check format docs extras results bench clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
ifdef UV
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python $(TORCH)
	$(UV) pip install --quiet --python $(BIN)/python --editable "$(PACKAGE)"
else
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable "$(PACKAGE)"
endif
	touch $@

demo:                       ## train, sample and report on built-in scenes: about five minutes on two cores
	$(MAKE) setup EXTRAS=
	$(BIN)/gridcode demo --out demo --force
	@echo "open demo/report/report.html"

# Rewriting every assert takes each process 8 s; only tests that fail are run again with it, to show their values.
test: export OMP_NUM_THREADS ?= 1
test: setup                 ## the default tests: offline, on the CPU, warnings are errors
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --assert=plain \
		|| { ! grep -qs '::' .pytest_cache/v/cache/lastfailed || $(BIN)/python -m pytest --last-failed; false; }

check: setup                ## lint, types, layers
	$(BIN)/ruff format --check src tests benchmarks examples docs/*.py
	$(BIN)/ruff check src tests benchmarks examples docs/*.py
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: setup
	$(BIN)/ruff format src tests benchmarks examples docs/*.py
	$(BIN)/ruff check --fix src tests benchmarks examples docs/*.py

docs:                       ## the documentation site, into site/; every warning is an error
	$(MAKE) setup EXTRAS=dev,docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

extras: setup               ## gridcode alone and with webdataset, datasets, ray and remote, each installed in a fresh environment and run once
	.ci/extras

results: setup              ## the pages of the studies, from their committed figures
	$(BIN)/python docs/results_pages.py

bench:                      ## throughput beside diffusers
	$(MAKE) setup EXTRAS=dev,bench
	$(BIN)/python -m benchmarks.throughput

clean:
	rm -rf $(VENV) demo site .mypy_cache .ruff_cache .pytest_cache .hypothesis
