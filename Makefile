# What people do with this project; `make` alone lists it.
.DEFAULT_GOAL := help
VENV := .venv
WORKERS ?= 2
FUZZ_EXAMPLES ?= 300000
FUZZ_CONVERSATIONS ?= 100000
SOAK_KILLS ?= 100
ARGS ?=
PYTHON ?= $(shell for one in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$one -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$one && break; done)
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help
help: ## list these
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.installed ## start the broker on embedded SQLite in ./data (flags: ARGS="--host 0.0.0.0")
	@exec $(VENV)/bin/mwl-broker serve $(ARGS)

.PHONY: demo
demo: $(VENV)/.installed ## play a simulated morning on free ports and print each order's timeline
	@exec $(VENV)/bin/mwl-broker demo $(ARGS)

.PHONY: test
test: $(VENV)/.installed-test ## run every test (some of them: ARGS="tests/unit -k name")
	@$(VENV)/bin/python -m pytest -n $(WORKERS) $(ARGS)

.PHONY: bench
bench: $(VENV)/.installed-test ## measure beside wlmscpfs, Orthanc and pynetdicom; ratios in build/bench.json (ARGS=--quick)
	@$(VENV)/bin/python -m tests.bench $(ARGS)

.PHONY: soak
soak: $(VENV)/.installed-test ## the long forms: 100 kills under load, a million made streams and states, 2,000 examples of each made input (an hour)
	@SOAK_KILLS=$(SOAK_KILLS) FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) FUZZ_CONVERSATIONS=$(FUZZ_CONVERSATIONS) $(VENV)/bin/python -m pytest -n $(WORKERS) --timeout 7200 \
		-m "soak or hypothesis" --hypothesis-profile soak $(ARGS)

.PHONY: lint
lint: $(VENV)/.installed-test ## ruff, mypy and the architecture tests
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/python -m pytest -q tests/architecture

.PHONY: docs
docs: $(VENV)/.installed-test ## write anew what is generated: docs/ and the files of schema/
	@$(VENV)/bin/python -m tests.kit.generated

.PHONY: clean
clean: ## remove the environment and caches; ./data stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Made again only when what is installed has changed; the code itself is used where it lies.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/.python
	$(PIP) -e '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; say where it is: make PYTHON=path" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@
