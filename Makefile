VENV := .venv
PYTHON ?= python3
RUN := DDE_BACKEND=pytorch $(VENV)/bin/python

.PHONY: demo test test-slow lint audit benchmark clean

demo: $(VENV)/installed
	$(VENV)/bin/deepxde-balance compare klein-gordon --weights equal auto --iterations 1300 --out out
	$(VENV)/bin/deepxde-balance report out

test: $(VENV)/installed
	$(RUN) -m pytest -q -n auto

test-slow: $(VENV)/installed
	$(RUN) -m pytest -q -m slow
	$(RUN) -m pytest -q --hypothesis-profile=thorough $(wildcard tests/system/test_wrong_*.py) tests/system/test_damaged_files.py

benchmark: $(VENV)/installed
	$(RUN) benchmarks/step_time.py --out benchmarks/results/step_time.json

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/codespell
	$(VENV)/bin/lint-imports --no-logo
	DDE_BACKEND=pytorch $(VENV)/bin/mypy

# Known vulnerabilities of what is installed. It must reach pypi.org: what is not found there is an error.
audit: $(VENV)/installed
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install -q pip-audit
	$(VENV)-audit/bin/pip-audit --strict --skip-editable --path $$($(VENV)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")

$(VENV)/installed: requirements.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q -r requirements.txt
	$(VENV)/bin/pip install -q --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-audit out
