# `make help` lists the targets. Every one of them sets up what is missing first.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PY := .venv/bin/python
TIMEOUT_S ?= 3600
PYTEST_ARGS ?=

.PHONY: help setup format check test test-all faults bench demo live page doctor clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: ## environment, ROS packages, robot assets (PYTHON=..., TORCH=cpu|cuda)
	@./scripts/setup

format: setup ## put the code into the house's format
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

check: setup ## lint, format, import rules, types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports
	$(PY) -m pyright

# A test stuck in native code holds the interpreter, and with it pytest's own limit (120 s, 420 s at most): the clock of
# faulthandler needs no interpreter, says where it is stuck, and ends the run.
NATIVE_LIMIT := -o faulthandler_timeout=480 -o faulthandler_exit_on_timeout=true

test: setup ## all tests but the slow ones (PYTEST_ARGS=...)
	@timeout -k 20 $(TIMEOUT_S) $(PY) -m pytest -m "not slow" $(NATIVE_LIMIT) $(PYTEST_ARGS)

test-all: setup ## every test
	@timeout -k 20 $(TIMEOUT_S) $(PY) -m pytest $(PYTEST_ARGS)

faults: setup ## injected faults, with the scoreboard as a page of docs/; two hours
	@mkdir -p runs && rm -f runs/faults.jsonl
	@timeout -k 20 10800 $(PY) -m pytest tests/faults --findings runs/faults.jsonl $(PYTEST_ARGS); \
	status=$$?; $(PY) tests/faults/table.py --findings runs/faults.jsonl --page docs/reference/faults.md; exit $$status

bench: setup ## the short benchmarks, with a table
	@$(PY) -m bench run --short

demo: setup ## a policy at work in the twin
	@.venv/bin/tutelage demo

live: setup ## the graph in real time, until Ctrl-C
	@.venv/bin/tutelage live

page: setup ## see, take over, say and judge in a browser: http://127.0.0.1:8080
	@.venv/bin/tutelage page

doctor: setup ## what works on this machine, and what to do about the rest
	@$(PY) -m tutelage.doctor

clean: ## throw away what setup made
	rm -rf .venv .setup .cache ros_ws/build ros_ws/install ros_ws/log *.egg-info
