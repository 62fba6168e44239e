# Every target works as the first command in a fresh clone.
SHELL := /bin/sh
BIN := .venv/bin
.DEFAULT_GOAL := help

SOURCES := engine providers tests
# Two workers fit a small machine; tests that share a cluster or hosts stay together by xdist_group.
WORKERS ?= 2
# What to hand to pytest: make test TESTS=tests/unit/graph
TESTS ?= tests

.PHONY: help demo test check format bench lock changelog clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed-run ## the quickstart, as a transcript: plan, reconcile, drift, destroy
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/quickstart/demo.sh

test: .venv/.installed-dev ## every test; installs the Debian packages they need when run as root
	@.ci/system-packages
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(TESTS)

check: .venv/.installed-dev ## format, lint, types, import directions, architecture
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

format: .venv/.installed-dev ## rewrite the code the way `make check` wants it
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: .venv/.installed-dev ## the benchmarks, each against a peer where that peer is installed
	$(BIN)/python tests/bench/manifests.py
	$(BIN)/python tests/bench/run.py

lock: ## write requirements.lock anew from pyproject.toml, with the newest versions
	@.ci/lock

changelog: .venv/.installed-dev ## what changelog.d adds up to
	$(BIN)/towncrier build --draft

clean: ## remove everything that a build, a test or a demo left in this folder
	rm -rf .venv build dist bench-results .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed-run: pyproject.toml requirements.lock
	@if [ -e .venv/.installed-dev ]; then .ci/venv dev; touch .venv/.installed-dev; else .ci/venv run; fi
	@touch $@

.venv/.installed-dev: pyproject.toml requirements.lock
	@.ci/venv dev
	@touch .venv/.installed-run $@
