# `make run` and `make test` do everything on a fresh machine; `make help` lists the rest.
SHELL   := /bin/bash
VENV    := .venv
PY      := $(VENV)/bin/python
STAMPS  := $(VENV)/stamps
# What the native part was built for last stays, until something else is named.
-include $(STAMPS)/asked.mk
BACKEND ?= cpu
define ASKED
BACKEND ?= $(BACKEND)
HIPARCHS ?= $(HIPARCHS)
CUDAARCHS ?= $(CUDAARCHS)
CMAKE_ARGS ?= $(CMAKE_ARGS)
endef
export ASKED HIPARCHS CUDAARCHS CMAKE_ARGS
PIP     := $(PY) -m pip --disable-pip-version-check install -q
NATIVE  := $(shell find native \( -path native/build -o -path native/tests -o -name __pycache__ \) -prune -o -type f -print)

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: run test test-fast lint check bench asan lock clean help setup setup-dev

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: setup  ## set up what is missing and open halo-tui (BACKEND=cpu|vulkan|hip|cuda)
	@exec $(VENV)/bin/halo-tui $(ARGS)

test: setup-dev  ## set up what is missing and run the tests
	$(PY) -m pytest -q $(ARGS)

test-fast: setup-dev  ## the tests without the slow ones
	$(PY) -m pytest -q -m "not slow" $(ARGS)

lint: setup-dev  ## ruff, mypy, import layers
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

check: lint test  ## what CI runs

bench: setup  ## the throughput bench
	$(VENV)/bin/halo-tui bench throughput --agents 1,2,4,8 $(ARGS)

asan: setup-dev  ## C++ tests under address and undefined-behaviour sanitizers
	$(PY) scripts/asan.py

setup: $(STAMPS)/runtime $(STAMPS)/native $(STAMPS)/binding $(STAMPS)/graph $(STAMPS)/app

setup-dev: $(STAMPS)/dev setup

$(STAMPS)/venv:
	@bash scripts/find_compiler.sh >/dev/null
	@python=$$(bash scripts/find_python.sh) && "$$python" scripts/build_native.py --check --backend $(BACKEND) && echo "halo-tui: environment ($$python)" && "$$python" -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/build: requirements/build.txt | $(STAMPS)/venv
	@echo "halo-tui: build tools" && $(PIP) --require-hashes -r $< && touch $@

$(STAMPS)/runtime: requirements/runtime.txt | $(STAMPS)/build
	@echo "halo-tui: packages" && $(PIP) --require-hashes -r $< && touch $@

$(STAMPS)/dev: requirements/dev.txt | $(STAMPS)/runtime
	@echo "halo-tui: test packages" && $(PIP) --require-hashes -r $< && touch $@

ifneq ($(strip $(file <$(STAMPS)/asked.mk)),$(strip $(ASKED)))
.PHONY: $(STAMPS)/native
endif
$(STAMPS)/native: $(NATIVE) scripts/build_native.py scripts/backend_needs.py scripts/rocm_needs.py | $(STAMPS)/build
	@$(PY) scripts/build_native.py --backend $(BACKEND)
	@printf '%s\n' "$$ASKED" > $(STAMPS)/asked.mk && touch $@

$(STAMPS)/binding: native/llama.txt scripts/build_binding.py | $(STAMPS)/runtime
	@echo "halo-tui: llama-cpp-python binding" && $(PY) scripts/build_binding.py && touch $@

$(STAMPS)/graph: requirements/graph.txt scripts/build_graph.py | $(STAMPS)/build
	@$(PY) scripts/build_graph.py && touch $@

$(STAMPS)/app: pyproject.toml | $(STAMPS)/build
	@$(PIP) --no-deps --no-build-isolation -e . && touch $@

lock:  ## make the hashed requirement files anew (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pipx install uv" >&2; exit 1; }
	cd requirements && for name in build runtime dev; do \
	  uv pip compile -q --universal --python-version 3.12 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-header --no-annotate $$name.in -o $$name.txt; done

clean:  ## remove the environment and build folders (the user's cache stays)
	rm -rf $(VENV) native/build .pytest_cache .mypy_cache .ruff_cache
