PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := out/demo
OPENMMLAB := .venv-openmmlab
PYTEST := -q -n 2 --dist loadfile  # two processes; the tests of one file stay in one, and share its fixtures

.PHONY: demo test test-openmmlab test-web lint bench clean

demo: $(VENV)/installed  ## the main job, with the bundled model on the bundled images
	$(BIN)/python tools/eliminate_bg.py -o $(DEMO) --on-empty black --resume
	$(BIN)/python tools/contact_sheet.py $(DEMO)

test: lint  ## everything but `slow` and `gpu`
	$(BIN)/python -m pytest $(PYTEST)

test-openmmlab: $(OPENMMLAB)/installed  ## the same tests beside upstream mmdet, mmcv-lite and mmengine
	$(OPENMMLAB)/bin/python -m pytest $(PYTEST)

test-web: $(VENV)/installed-web  ## the page in a browser: a Chromium or Chrome, or the one that CHROMIUM names
	$(BIN)/python -m pytest -q -m web tests/page tests/runs/test_report_page.py tests/test_benchmarks.py

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache pyproject.toml

bench: $(VENV)/installed-test  ## measure what the docs show; on photographs with PHOTOS=folder
	$(BIN)/python benchmarks/run.py compose
	$(BIN)/python benchmarks/run.py inference
	set -e; for one in $(if $(PHOTOS),pipeline growth processes agreement); do \
		$(BIN)/python benchmarks/run.py $$one $(PHOTOS); \
	done

clean:
	rm -rf $(VENV) $(OPENMMLAB) out

$(VENV)/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -r requirements.txt
	touch $@

$(VENV)/installed-test: $(VENV)/installed requirements-test.txt
	$(BIN)/python -m pip install -q -r requirements-test.txt
	touch $@

$(VENV)/installed-web: $(VENV)/installed-test requirements-web.txt
	$(BIN)/python -m pip install -q -r requirements-web.txt
	touch $@

$(OPENMMLAB)/installed: requirements-openmmlab.txt pyproject.toml
	$(PYTHON) -m venv $(OPENMMLAB)
	$(OPENMMLAB)/bin/python -m pip install -q -r requirements-openmmlab.txt
	touch $@
