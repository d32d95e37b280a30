# Everything a developer or a newcomer runs. A bare machine needs python3 (3.11 or newer),
# python3-venv and make; every target sets itself up. Paths are relative throughout, so the
# checkout may stand in a folder with spaces in its name.

PYTHON ?= python3
ARGS ?=
UV_VERSION := 0.13.9

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.set-up

.DEFAULT_GOAL := help
.PHONY: help setup demo clients test fuzz soak check format bench binary pictures lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile
	@echo "ARGS='...' goes to pytest, and names the benchmarks to run; PYTHON=python3.12 picks an interpreter"

setup: $(STAMP) ## .venv with the locked dependencies and pachybox itself

# The lock's hashes cover all that is installed, hatchling (the build backend) too, so nothing is
# fetched that is not in it. A half-made environment has no stamp and is made afresh.
$(STAMP): requirements.lock pyproject.toml hatch_build.py $(wildcard pachybox/worker/shim/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "pachybox needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing)." >&2; \
	  echo "Install a newer one (Ubuntu 22.04: apt-get install python3.11 python3.11-venv)," >&2; \
	  echo "then run make again with PYTHON=python3.11." >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment: install python3-venv (apt-get install python3-venv)." >&2; exit 1; }
	@echo "Setting up $(VENV) (once; a minute or two) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation --editable .
	@$(PY) -m compileall -q appliance k3s pachybox spouts tui # else, where Python may not write, each start does it
	@touch $@

demo: $(STAMP) ## edges and a montage of real photographs, in a throw-away box
	@$(PY) examples/photos/demo.py

# One environment each, as they cannot live in one; an unmade one skips its tests, which say why.
clients: $(STAMP) ## .venvs with the real clients that tests drive a box with
	@$(PY) tests/clients/environments.py

# Each process reads all tests; where Python may not write they were compiled in each of them.
test: clients ## all tests; ARGS='tests/unit -k glob' for some
	@PYTHONDONTWRITEBYTECODE= $(PY) -m pytest $(or $(ARGS),-n $$(($$(nproc) + 1)) --dist worksteal)

fuzz: $(STAMP) ## 20,000 odd requests to every door; ARGS='2000 s3' for fewer, to one
	@$(PY) -m tests.fuzz $(ARGS)

soak: $(STAMP) ## everything at once with random kills; ARGS='MINUTES [SEED]', 10 minutes by default
	@$(PY) -m tests.soak.everything $(ARGS)

check: $(STAMP) ## format, lint, types, import rules, docs
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) -m pytest tests/arch/test_docs.py tests/arch/test_dependencies.py
	@$(PY) -m tests.arch.sizes

binary: $(STAMP) ## dist/pachybox, the one file for machines without Python
	@$(PY) -m appliance.binary.build $(ARGS)

format: $(STAMP) ## let ruff mend format and imports
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(STAMP) ## measure, and renew the table of docs/performance.md; ARGS='start list' for some
	@$(PY) benchmarks/run.py $(ARGS)

pictures: $(STAMP) ## take the pictures of the terminal anew, docs/pictures/
	@$(PY) -m tui.pictures $(ARGS)

# Universal: one file for Python 3.11 to 3.14, x86-64 and arm64. No index address is written.
lock: | $(PY) ## renew requirements.lock, and those of the clients; ARGS=--upgrade for new versions
	@$(VENV)/bin/uv --version 2>/dev/null | grep -qF 'uv $(UV_VERSION) ' || $(PY) -m pip install --quiet uv==$(UV_VERSION)
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  $(ARGS) --output-file requirements.lock pyproject.toml
	@for client in tests/clients/*/requirements.in; do \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    $(ARGS) --output-file "$${client%.in}.lock" "$$client" || exit 1; done

# Not the stamp: the lock must be renewable when pyproject.toml is newer than it.
$(PY):
	@$(MAKE) setup

clean: ## remove the environments, caches and the demo's pictures
	rm -rf $(VENV) .venvs .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist pachybox/worker/shim/bin
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
