# Each target sets up what it needs in .venv; Python 3.10 or later is all that must be there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test compat lint bench docs lowering support

demo: .venv/run
	$(BIN)/rushlight demo

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/mypy rushlight
	$(BIN)/python -m pytest -n auto --maxprocesses 4

compat: .venv/compat
	$(BIN)/python -m pytest tests/compat

lint: .venv/dev
	$(BIN)/ruff check .

bench: .venv/dev
	$(BIN)/python benchmarks/recording.py

docs: .venv/docs
	$(BIN)/python docs/reference.py
	@echo "The API reference is docs/_build/index.html"

lowering: .venv/dev
	$(BIN)/python docs/lowering.py

support: .venv/dev
	$(BIN)/python docs/support.py

.venv/run: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[examples]'
	touch $@

.venv/docs: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[plots,data,docs]'
	touch $@

# PyTorch is the tests' oracle. It goes first and alone, so that exactly this version is taken.
.venv/dev: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q -e '.[dev]'
	touch $@

# The compat extra's packages, without the torch they would require: PyTorch stays the oracle's version.
.venv/compat: .venv/dev
	$(BIN)/pip install -q 'tomli; python_version < "3.11"' scipy packaging pyyaml tqdm
	$(BIN)/python -c "$$COMPAT" | xargs $(BIN)/pip install -q --no-deps
	touch $@

define COMPAT
try: import tomllib
except ImportError: import tomli as tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print("\n".join(project["optional-dependencies"]["compat"]))
endef
export COMPAT
