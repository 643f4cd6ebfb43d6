# Every target does its own set-up; only Python 3.12 or newer, git and make are needed.
# PYTHON chooses another interpreter: make test PYTHON=3.13
# EXTRAS adds optional packages, with commas: make test EXTRAS=crawl
PYTHON ?=
EXTRAS ?=
# Parts of `make load`: watchers workflow scenario memory
ONLY ?=
BIN := .venv/bin
# One mark per choice: another PYTHON or EXTRAS installs again instead of being ignored.
READY := .venv/.ready-$(or $(notdir $(PYTHON)),default)-$(EXTRAS)

.PHONY: help setup demo test quick services check format bench load proof clean

help:    ## what there is
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(READY)  ## install everything into .venv

$(READY): pyproject.toml uv.lock scripts/setup.sh
	@sh scripts/setup.sh "$(PYTHON)" "$(EXTRAS)"
	@touch $(READY)

demo: $(READY)  ## the main job on the sample data, fitted afresh
	@$(BIN)/mmm-workflows demo

test: $(READY)  ## every test that takes no minutes
	$(BIN)/pytest tests/ -v -m "not proof" --durations=30

quick: $(READY)  ## the tests that take no real fit
	$(BIN)/pytest tests/

services:  ## install and start what the tests marked services and browser need (Debian, as root)
	@bash tests/services/up.sh

check: $(READY)  ## formatting, linters, import contracts, types
	$(BIN)/black --check --quiet src tests scripts examples benchmarks
	$(BIN)/isort --check --quiet src tests scripts examples benchmarks
	$(BIN)/ruff check src tests scripts examples benchmarks
	$(BIN)/lint-imports
	$(BIN)/mypy src/
	@$(BIN)/python benchmarks/recovery.py --check
	@$(BIN)/python benchmarks/kills.py --check
	@$(BIN)/python benchmarks/fuzz.py --check
	@$(BIN)/python benchmarks/contract.py --check

format: $(READY)  ## format the code
	$(BIN)/black src tests scripts examples benchmarks
	$(BIN)/isort src tests scripts examples benchmarks

bench: $(READY)  ## speed, into benchmarks/reports
	$(BIN)/python benchmarks/speed.py

load: $(READY)  ## watchers, questions beside a fit, scenarios and 30 minutes of memory of the service, into benchmarks/reports (goes on where it stopped; ONLY=workflow: one part)
	$(BIN)/python benchmarks/load.py $(addprefix --only ,$(ONLY))

proof: $(READY)  ## long evidence, hours in all: known truth on 20 worlds, hostile requests, kills, load and memory; goes on where it stopped
	$(BIN)/python benchmarks/recovery.py
	$(BIN)/python benchmarks/fuzz.py
	$(BIN)/python benchmarks/contract.py
	$(BIN)/python benchmarks/kills.py
	OUTBOX_KILLS=24 $(BIN)/pytest tests/contracts/outbox -m slow -k kills_at_more_moments
	$(BIN)/pytest tests/ -m proof
	$(BIN)/python benchmarks/load.py

clean:   ## remove what the targets above made
	rm -rf .venv .tools .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
