VENV := .venv
PYTHON ?= python3
RUN := DDE_BACKEND=pytorch $(VENV)/bin/python

.PHONY: demo test test-slow lint benchmark clean

demo: $(VENV)/installed
	$(RUN) examples/demo.py

test: $(VENV)/installed
	$(RUN) -m pytest -q

test-slow: $(VENV)/installed
	$(RUN) -m pytest -q -m slow

benchmark: $(VENV)/installed
	$(VENV)/bin/pip install -q "torchjd>=0.18"
	$(RUN) benchmarks/step_time.py --out benchmarks/results/step_time.json

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	DDE_BACKEND=pytorch $(VENV)/bin/mypy

$(VENV)/installed: requirements.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q -r requirements.txt
	$(VENV)/bin/pip install -q --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) out
