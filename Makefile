# Everything runs in an environment of its own, .venv: the package names used here (forward,
# inverse, …) also exist on PyPI as other people's distributions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Of all mutants, how many `make mutants` tries.
SHARE ?= 0.02

.PHONY: demo test test-slow test-slow-share lint bench accuracy reconstruction equivalence studies validation \
	mutants clean

demo: $(STAMP)
	$(BIN)/xrdct-twin run examples/particle.toml -o out/particle --force
	@echo "Open out/particle/report.html in a browser."

test: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -q -m slow

test-slow-share: $(STAMP)
	$(BIN)/python -m pytest -q -m "slow and share"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m benchmarks.bench_roi
	$(BIN)/python -m benchmarks.bench_reconstruct
	$(BIN)/python -m benchmarks.bench_iterative
	$(BIN)/python -m benchmarks.bench_refine
	$(BIN)/python -m benchmarks.bench_poisson
	$(BIN)/python -m benchmarks.bench_frames
	$(BIN)/python -m benchmarks.bench_integrate
	$(BIN)/python -m benchmarks.bench_framefile

accuracy: $(STAMP)
	$(BIN)/python -m benchmarks.accuracy --document

reconstruction: $(STAMP)
	$(BIN)/python -m benchmarks.reconstruction_accuracy --document

validation: $(STAMP)
	$(BIN)/python -m benchmarks.validation_document

studies: $(STAMP)
	$(BIN)/python -m benchmarks.in_view
	$(BIN)/python -m benchmarks.parallax
	$(BIN)/python -m benchmarks.edges
	$(BIN)/python -m benchmarks.gradients
	$(BIN)/python -m benchmarks.degeneracy
	$(BIN)/python -m benchmarks.reconstruction_limit

mutants: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[mutation]"
	$(BIN)/python -m mutation.run --share $(SHARE)

equivalence: $(STAMP)
	$(BIN)/python -m benchmarks.equivalence > docs/equivalence.md

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) out
