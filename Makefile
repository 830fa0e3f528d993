# toprope: `make demo` and `make test` each work as the only command after cloning; `make` lists the targets.
#
#   PYTHON=...  the interpreter that makes the virtual environment (default: the first of python3.13 .. 3.11, python3)
#   TORCH=...   what pip is told to install torch from, where its own choice does not suit the machine: on Linux,
#               PyPI's torch brings CUDA, several gigabytes; a CPU build is a tenth of that
#               (make demo TORCH="torch --index-url ADDRESS"; pytorch.org gives the addresses)

VENV ?= .venv
PYTHON ?=
TORCH ?=

BIN := $(VENV)/bin
MODELS := smollm2-135m qwen2.5-coder-0.5b
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
DOCS := $(VENV)/.installed-docs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check docs weights browser clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

demo: $(RUNTIME) weights ## a weak model supervises a stronger one, ending in a report
	$(BIN)/toprope climb examples/quickstart.yaml

# pytest comes last: its closing line is the outcome.
test: $(DEV) weights browser ## every check and every test, real models and a browser included
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/pytest

check: $(DEV) ## the quick checks and tests: no model weights, no browser
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/pytest -m "not model and not browser"

docs: $(DOCS) ## the documentation, in site/
	$(BIN)/mkdocs build --strict

weights: $(RUNTIME) ## fetch the demo's and the tests' models, once: 0.6 GB, then 3 GB on disk
	$(BIN)/toprope models pull $(MODELS)

# A continuous-integration container runs as root and may lack Chromium; a developer's machine is left alone, and the
# tests that need a browser then say so and are skipped.
browser:
	@if [ "$$CI" = true ] && [ "$$(id -u)" = 0 ] && ! command -v chromium >/dev/null && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null \
	        || echo "Chromium could not be installed: the browser tests will be skipped" >&2; \
	fi

clean: ## remove what can be built again; runs/ and the fetched weights stay
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache

$(BIN)/python:
	@for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	    if "$$candidate" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "making $(VENV) with $$candidate"; \
	        exec "$$candidate" -m venv $(VENV); \
	    fi; \
	done; \
	echo "toprope needs Python 3.11 or later, with venv (Debian: apt-get install python3-venv): install it, or name it: make PYTHON=/path/to/python3" >&2; \
	exit 1

# Without TORCH, a wheel that pip is configured to find locally (find-links), such as a CPU build, goes before PyPI's.
$(RUNTIME): pyproject.toml | $(BIN)/python
	$(if $(TORCH),$(BIN)/pip install $(TORCH),@$(BIN)/pip install --quiet --no-index --no-deps torch 2>/dev/null || true)
	$(BIN)/pip install --editable .
	@touch $@

$(DEV): $(RUNTIME)
	$(BIN)/pip install --editable ".[dev]"
	@touch $@

$(DOCS): $(RUNTIME)
	$(BIN)/pip install --editable ".[docs]"
	@touch $@
