# The newcomer's commands. `make dive` needs Python 3.11+ with venv, git and make, and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 0
KILLS ?= 2000
SOAK_FRAMES ?= 200000

.PHONY: dive test lint format fuzz board test-board test-card test-flash durability soak clean help

help:
	@echo "make dive   install, compose the demonstration recording, replay it as a dive, report"
	@echo "make test   install what tests need and run them all"
	@echo "make lint   ruff and mypy --strict"
	@echo "make fuzz   hostile bytes for what reads any, FUZZ_SECONDS=60 a target; .ci/run does it when"
	@echo "            what it reads differs from the last tag, or there is none"
	@echo "make board  what an emulated Pi Zero 2 W makes of frames and logs against what this machine does"
	@echo "make test-board  the same, and there the tests marked board; it says how long what takes"
	@echo "make test-card  builds the card of a Pi and starts it on an emulated one: dive, power cut, update, way"
	@echo "            back; as root, with QEMU and what docs/flash.md names; about an hour"
	@echo "make test-flash  the installer with whole environments, as on a board; fetches wheels; some four minutes"
	@echo "make durability  KILLS=2000 kills of the real service at random instants through whole dives"
	@echo "make soak   200,000 frames through the service: what it holds after each tenth"
	@echo "make clean  remove .venv and out"

$(VENV)/.dive: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Say which with make PYTHON=..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[shore]'
	@touch $@

$(VENV)/.test: $(VENV)/.dive pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

dive: $(VENV)/.dive
	@rm -rf out/dive out/recording
	$(BIN)/seston compose out/recording
	$(BIN)/seston simulate out/recording --config tools/scenarios/demo_float.toml --out out/dive

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2

$(VENV)/.fuzz: $(VENV)/.test pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@touch $@

fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

board: $(VENV)/.test
	$(BIN)/python -m tests.board

test-board: $(VENV)/.test
	$(BIN)/python -m tests.board --tests

test-card: $(VENV)/.test
	$(BIN)/python -m tests.board.card

# Wheels for the small board of the tests, which has this machine's Python; resolved anew when ours change.
out/flash/lock-x86_64.json: pyproject.toml | $(VENV)/.test
	rm -f $@
	$(BIN)/seston flash bundle --arch x86_64 --lock $@ \
	  --python "$$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

test-flash: out/flash/lock-x86_64.json
	$(BIN)/python -m pytest -n 2 --dist loadfile -m flash tests/tools

durability: $(VENV)/.test
	$(BIN)/python -m tests.durability --kills $(KILLS) --seed 1

soak: $(VENV)/.test
	$(BIN)/python -m tests.durability.soak --frames $(SOAK_FRAMES) --own-process

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) out build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
