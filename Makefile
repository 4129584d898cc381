# make install   .venv with all that the demo, the tests and the benchmarks need
# make demo      a real model, fitted through every host; writes weibull.png
# make test      the tests, some ten minutes on two cores: of many tests of one kind a part
# make test-slow what `make test` leaves out
# make test-all  both, with every cell of the conformance matrix and 2000 random programs (an hour or more)
# make test-hosts  hosts that need an environment of their own: the oldest JAX, TensorFlow, PyTensor, MLX
# make test-pythons  the tests on the other Pythons that are found here (3.12 to 3.14, in pyenv's folder or by name), with the
#                newest JAX; make test-pythons-short, a part of them on the newest: under four minutes
# make lint      ruff and pyright
# make hosts-table  docs/conformance.md, from the matrix of hosts and transformations
# make scenarios docs/scenarios.md, from the catalogue of operators × backends
# make docs      the documentation, into site/
# make bench     every workload beside its peers; writes docs/benchmarks.md: half an hour
# make bench-quick   small sizes, fewer peers: one to two minutes

# The first Python of 3.11 or later that can make environments (some systems package ensurepip apart).
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
WORKERS ?= 2
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install demo test test-slow test-all test-hosts test-jax-oldest test-tensorflow test-pytensor test-mlx test-pythons test-pythons-short lint bench bench-quick hosts-table scenarios docs

install: $(VENV)/.installed

# pip learnt dependency groups in 25.1.
$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later with ensurepip found; say make PYTHON=..."; exit 1; }
	@echo "Installing into $(VENV) with $(PYTHON): some minutes the first time ..."
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install -qq "pip>=25.1"
	@$(RUN) -m pip install -qq --editable . --group dev
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	@$(RUN) -m pip install -qq --group docs
	@touch $@

demo: install
	@$(RUN) -m fwddiff demo $(ARGS)

test: install
	$(RUN) -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

test-slow: install
	$(RUN) -m pytest -q -m slow -n $(WORKERS) --dist worksteal $(ARGS)

test-all: install
	FWDDIFF_PROGRAMS=2000 FWDDIFF_CONFORMANCE=all $(RUN) -m pytest -q -m "" -n $(WORKERS) --dist worksteal $(ARGS)

# Hosts beside the development environment: one environment per dependency group `test-…`.
.venv-%/.installed: pyproject.toml
	@echo "Installing into .venv-$* ..."
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/python -m pip install -qq "pip>=25.1"
	@.venv-$*/bin/python -m pip install -qq --editable . --group test-$*
	@touch $@

# Other Pythons: one group for all, and pip takes what there is for each.
.venv-newest-%/.installed: pyproject.toml
	@echo "Installing into .venv-newest-$* with $(PYTHON) ..."
	@$(PYTHON) -m venv --clear .venv-newest-$*
	@.venv-newest-$*/bin/python -m pip install -qq "pip>=25.1"
	@.venv-newest-$*/bin/python -m pip install -qq --editable . --group test-newest
	@touch $@

test-pythons:
	@WORKERS=$(WORKERS) bash .ci/pythons $(ARGS)

test-pythons-short:
	@WORKERS=$(WORKERS) bash .ci/pythons --short $(ARGS)

test-hosts: test-jax-oldest test-tensorflow test-pytensor test-mlx

test-jax-oldest: .venv-jax-oldest/.installed
	.venv-jax-oldest/bin/python -m pytest -q -n $(WORKERS) tests/hosts/jax tests/hosts/conformance $(ARGS)

test-tensorflow: .venv-tensorflow/.installed
	FWDDIFF_CONFORMANCE=tensorflow .venv-tensorflow/bin/python -m pytest -q -n $(WORKERS) tests/hosts/tensorflow tests/hosts/conformance tests/hosts/test_promotion.py tests/testing/test_scenarios.py $(ARGS)

test-pytensor: .venv-pytensor/.installed
	FWDDIFF_CONFORMANCE=pytensor .venv-pytensor/bin/python -m pytest -q -n $(WORKERS) tests/hosts/pytensor tests/hosts/conformance tests/hosts/test_promotion.py tests/testing/test_scenarios.py $(ARGS)

test-mlx: .venv-mlx/.installed
	FWDDIFF_CONFORMANCE=mlx .venv-mlx/bin/python -m pytest -q -n $(WORKERS) tests/hosts/mlx tests/hosts/conformance tests/hosts/test_promotion.py tests/testing/test_scenarios.py $(ARGS)

hosts-table: install
	PYTHONPATH=tests $(RUN) -m hosts.conformance

scenarios: install
	$(RUN) docs/generate_scenarios.py

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m pyright --pythonpath $(RUN)

# warp-lang is a peer in one workload; without it the report says so.
$(VENV)/.bench: $(VENV)/.installed
	@$(RUN) -m pip install -qq --group bench || echo "make: no warp-lang here; the benchmarks run without it"
	@touch $@

bench: $(VENV)/.bench
	@$(RUN) -m benchmarks $(ARGS)

bench-quick: $(VENV)/.bench
	@$(RUN) -m benchmarks --quick $(ARGS)

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet
