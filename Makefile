VENV := .venv
PYTHON ?= python3
RUN := DDE_BACKEND=pytorch $(VENV)/bin/python

.PHONY: demo demo-full test test-slow test-oldest test-newest lint audit docs docs-figures benchmark clean

demo: $(VENV)/installed
	$(RUN) docs/figures/demo.py

demo-full: $(VENV)/installed
	$(VENV)/bin/deepxde-balance compare klein-gordon --weights equal auto --iterations 1300 --out out/full
	$(VENV)/bin/deepxde-balance report out/full

# One thread in each process, also in those that tests start: the tensors are small.
test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n auto

test-slow: $(VENV)/installed
	$(RUN) -m pytest -q -m slow
	$(RUN) -m pytest -q --hypothesis-profile=thorough $(wildcard tests/system/test_wrong_*.py) tests/system/test_damaged_files.py

# Python 3.10 with the oldest versions that setup.cfg allows.
test-oldest: .venv-oldest/installed
	OMP_NUM_THREADS=1 DDE_BACKEND=pytorch .venv-oldest/bin/python -m pytest -q -n auto

# The newest of everything, whatever that is today.
test-newest: .venv-newest/installed
	OMP_NUM_THREADS=1 DDE_BACKEND=pytorch .venv-newest/bin/python -m pytest -q -n auto

.venv-oldest/installed: requirements-oldest.txt
	python3.10 -m venv .venv-oldest
	.venv-oldest/bin/pip install -q -r requirements-oldest.txt
	.venv-oldest/bin/pip install -q --no-deps -e .
	touch $@

.venv-newest/installed: setup.cfg
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install -q --upgrade -e '.[test,tune]'
	touch $@

benchmark: $(VENV)/installed
	$(RUN) benchmarks/step_time.py --out benchmarks/results/step_time.json

docs: $(VENV)/installed
	$(RUN) -m sphinx -q -E -a -W --keep-going docs docs/build/html
	@echo Site: docs/build/html/index.html

docs-figures: $(VENV)/installed
	for script in full_settings families suite_ratios oscillator; do $(RUN) docs/figures/$$script.py || exit 1; done
	$(RUN) docs/figures/demo.py --image docs/images/klein-gordon.png

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
	rm -rf $(VENV) .venv-oldest .venv-newest $(VENV)-audit out
