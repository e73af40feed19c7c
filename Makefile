# Six targets: demo, test, test-slow, check, docs, sbom.  All work from the package registry alone.
PYTHON ?= python3.11
BIN := .venv/bin
CONSTRAINTS := $(if $(wildcard constraints.txt),-c constraints.txt)
MODALHASH_DATA ?= $(wildcard $(CURDIR)/../shared/data)
export MODALHASH_DATA

.PHONY: demo test test-slow check docs sbom clean

demo: .venv/core
	$(BIN)/modalhash demo --out demo-output

test: .venv/dev
	$(BIN)/python -m pytest

test-slow: .venv/dev
	$(BIN)/python -m pytest -m slow

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/make_tables.py --check

docs: .venv/docs
	$(BIN)/mkdocs build --strict

sbom:  # the bill of materials of what a service installs
	test -x .venv-sbom/bin/python || $(PYTHON) -m venv .venv-sbom
	.venv-sbom/bin/pip install --quiet cyclonedx-bom==7.5.0
	.venv-sbom/bin/cyclonedx-py requirements locked.txt --pyproject pyproject.toml --output-reproducible -o sbom.json

.venv/core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e .
	touch $@

.venv/dev: .venv/core
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[deep,dev]'
	touch $@

.venv/docs: .venv/core
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[docs]'
	touch $@

clean:
	rm -rf .venv .venv-sbom sbom.json build dist site demo-output
