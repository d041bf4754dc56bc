# make demo: set all up from nothing and separate the bundled example.  make test: run the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint setup ffmpeg clean

demo: setup
	$(BIN)/separate run "$$($(BIN)/python -c 'import separate; print(separate.example_path())')" \
		-q drums -q vocals -o demo-output --resume

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy -p separate

setup: ffmpeg $(VENV)/.complete

# Strict editable mode shows type checkers the four folders as one package.
$(VENV)/.complete: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,train,data,bench]'
	touch $@

ffmpeg:
	@command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || sh scripts/install_ffmpeg.sh

clean:
	rm -rf $(VENV) demo-output build dist *.egg-info
