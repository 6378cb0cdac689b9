# Two commands on a fresh machine with Python 3.11+ and make:
#   make demo    a virtual environment, the program, and a run on a sample that the program simulates
#   make test    the whole default test suite
#   make sizes   what is larger than advised; make coverage: what the tests cover, per room
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint types check slow sizes codes pictures coverage clean

$(BIN)/python:
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@

# OpenVINO computes networks faster on most processors; without it everything works too.
$(VENV)/.installed-openvino: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install -q -e '.[openvino]' || echo "OpenVINO cannot be installed here: torch computes instead."
	touch $@

demo: $(VENV)/.installed-openvino
	$(BIN)/tomocyte samples get simulated-odt -o demo/input
	$(BIN)/tomocyte run demo/input -o demo/output
	@echo "Open $(CURDIR)/demo/output/report.html in a browser; the exact truth is demo/input/simulated_hela_truth.csv."

# Two test files at a time, each computing with one thread.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

types: $(VENV)/.installed-dev
	$(BIN)/mypy

check: lint types test

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

sizes:
	@"$(PYTHON)" tests/reports.py sizes

# docs/codes.md, from the source.
codes:
	@"$(PYTHON)" tests/codes.py

# docs/tuning-*.png, from simulated fields.
pictures: $(VENV)/.installed-dev
	$(BIN)/python tests/tuning_pictures.py

# The test suite once more, slower, because every line is counted.
coverage: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov=tomocyte --cov-report=json:.coverage.json
	$(BIN)/python tests/reports.py coverage .coverage.json
	@rm -f .coverage*

clean:
	rm -rf $(VENV) demo .coverage* .pytest_cache .mypy_cache .ruff_cache
