# make demo: set all up from nothing and separate the bundled example.  make test: run the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .venv-tools

.PHONY: demo test test-slow test-repeat museval-reference lint hostile bad-days audit sbom dist setup ffmpeg clean

demo: setup
	$(BIN)/separate run "$$($(BIN)/python -c 'import separate; print(separate.example_path())')" \
		-q drums -q vocals -o demo-output --resume

# The page's tests measure how soon it answers: they run alone, also where the others failed.
test: setup
	status=0; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/app || status=1; \
	$(BIN)/python -m pytest tests/app || status=1; \
	exit $$status

# What the suite leaves out because it takes minutes: the scores that it compares with, anew.
test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

museval-reference: setup
	PYTHONPATH=tests/evals OMP_NUM_THREADS=1 $(BIN)/python tests/evals/museval_reference.py

# The suite N times in a row, beside BUSY busy processes, until one run fails.
N ?= 5
BUSY ?= 0
test-repeat: setup
	MAKE="$(MAKE)" sh scripts/repeat_tests.sh $(N) $(BUSY)

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(MAKE) types

# The four folders are one package only when installed: mypy sees them so through links.
types: setup
	rm -rf build/types && mkdir -p build/types/separate
	ln -s "$(CURDIR)"/separate/* "$(CURDIR)"/models "$(CURDIR)"/evals "$(CURDIR)"/app build/types/separate/
	cd build/types && "$(CURDIR)"/$(BIN)/mypy --config-file ../../pyproject.toml -p separate

# A thousand damaged files, absurd queries and dangerous models (about twenty minutes).
hostile: setup
	SEPARATE_HOSTILE_CASES=1000 $(BIN)/python -m pytest tests/hostile

# Batches that are killed, disks that fill up, servers that stop, at full size (about ten minutes).
bad-days: setup
	SEPARATE_BAD_DAYS=full $(BIN)/python -m pytest tests/separate/batch/test_bad_days.py tests/separate/batch/test_ray.py

# Known vulnerabilities of all that is installed; docs/supply-chain.md explains those that are left.
audit: setup $(TOOLS)/.complete
	$(TOOLS)/bin/pip-audit --strict --progress-spinner off --skip-editable \
		--path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		|| { echo "pip-audit found something, or could not reach its service: see above" >&2; exit 1; }

# What is installed, as a CycloneDX bill of materials.
sbom: setup $(TOOLS)/.complete
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application \
		--output-reproducible -o sbom.json $(BIN)/python
	@echo sbom.json

# Wheel and sdist, each installed into an empty environment without the checkout beside it, and used.
dist: setup $(TOOLS)/.complete
	rm -rf dist
	$(TOOLS)/bin/python -m build --outdir dist
	$(TOOLS)/bin/twine check --strict dist/*
	for archive in dist/*.whl dist/*.tar.gz; do \
		PYTHON=$(PYTHON) sh scripts/try_distribution.sh "$$archive" || exit 1; done

# The container's packages with hashes of all their files, from the package index. torch stays
# outside (its index differs, see Dockerfile), and what only graphics cards need: hence macOS.
docs/serving/requirements.txt: pyproject.toml constraints.txt $(TOOLS)/.complete
	grep -v '^triton' constraints.txt > $(TOOLS)/constraints.txt
	MACOSX_DEPLOYMENT_TARGET=14.0 $(TOOLS)/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --python-platform aarch64-apple-darwin --no-emit-package torch \
		-c $(TOOLS)/constraints.txt --extra serve pyproject.toml -o $@

$(TOOLS)/.complete: constraints.txt
	test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet build twine pip-audit cyclonedx-bom uv
	touch $@

setup: ffmpeg $(VENV)/.complete

$(VENV)/.complete: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,train,data,bench]'
	touch $@

ffmpeg:
	@command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || sh scripts/install_ffmpeg.sh

clean:
	rm -rf $(VENV) $(TOOLS) sbom.json demo-output build dist *.egg-info
