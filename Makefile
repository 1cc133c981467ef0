# `make demo` and `make test` make .venv themselves when it is missing or out of date; after that they start at once.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format docs docs-build docs-course clean

BIN := .venv/bin
# Each process begins with a whole part of the list, so that what the tests of a file share is made once.
PYTEST_ARGS ?= -n auto --dist worksteal
PORT ?= 8000

help: ## say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 13

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

docs: .venv/.ready-docs ## build the documentation in both languages and serve it on this machine (PORT=8000)
	$(BIN)/python tools/documentation/build.py --serve --port $(PORT)

docs-build: .venv/.ready-docs ## build it only: build/docs/site/index.html opens from the disk too
	$(BIN)/python tools/documentation/build.py

docs-course: .venv/.ready-docs ## run all lessons, which takes long, and build the site with their pages
	$(BIN)/calco lessons export --out build/course
	$(BIN)/python tools/documentation/build.py

# One recipe for all three: .ready-all is what a user needs, .ready-docs adds the documentation's tool, .ready-dev what the checks need.
.venv/.ready-%: pyproject.toml constraints.txt tools/setup.sh
	@tools/setup.sh $*

clean: ## remove .venv and the caches; runs and models stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
