# One command each: `make demo` runs the whole daily job, `make test` the tests, `make check` format, lint and types.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Prefect asks nobody at home for updates, and its short-lived server may take its time on a small machine.
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export DO_NOT_TRACK = 1
export PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS = 180

.PHONY: demo test check e2e bench format clean

demo: $(VENV)/.demo
	$(BIN)/segmentation demo

test: $(VENV)/.test
	$(BIN)/pytest -m "not e2e" -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m infra.lint

e2e: $(VENV)/.test
	sh tests/e2e/install.sh
	$(BIN)/pytest -m e2e -n 2 --dist loadfile $(ARGS)

bench: $(VENV)/.bench
	for script in tests/benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) lake .mypy_cache .pytest_cache .ruff_cache *.egg-info
