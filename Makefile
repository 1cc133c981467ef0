# `make demo` and `make test` make .venv themselves when it is missing or out of date; after that they start at once.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format clean

BIN := .venv/bin
# Each process begins with a whole part of the list, so that what the tests of a file share is made once.
PYTEST_ARGS ?= -n auto --dist worksteal

help: ## say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

demo: .venv/.ready-all ## train, score and show a small translator on real drawings
	$(BIN)/calco demo

test: .venv/.ready-dev lint ## linter, type checker and the fast tests: the first stage of the continuous integration
	$(BIN)/pytest $(PYTEST_ARGS)

test-slow: .venv/.ready-dev ## the slow tests, which start processes or train for long: the second stage
	$(BIN)/pytest -m slow $(PYTEST_ARGS)

lint: .venv/.ready-dev ## linter and type checker only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/.ready-dev ## put the code in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# One recipe for both: .ready-all is what a user needs, .ready-dev adds what the checks need.
.venv/.ready-%: pyproject.toml constraints.txt tools/setup.sh
	@tools/setup.sh $*

clean: ## remove .venv and the caches; runs and models stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
