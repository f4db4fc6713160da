# `make demo` shows the main job; `make test` checks everything. Both set up .venv first.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
TEST_STAMP := .venv/.installed-dev
# Of these what is not marked slow, beside tests/jobs: README.md says which that is.
FAST := tests/core tests/cli $(wildcard tests/test_*.py)
# Whole services that have to keep to times; what computes; all else.
SERVICES := tests/api tests/deploy tests/e2e tests/faults tests/security
COMPUTING := tests/benchmarks tests/evidence tests/report tests/science tests/specimens tests/upkeep
LINT := $(BIN)/ruff check .; $(BIN)/ruff format --check .; $(BIN)/mypy; $(BIN)/lint-imports

.PHONY: demo test test-fast e2e-servers lint bench bench-gpu faults deployment audit fuzz clean

demo: $(STAMP)
	$(BIN)/beholder demo

test: $(TEST_STAMP)
	@# Side by side, since services wait for much of their time; they go first where cores are short.
	@mkdir -p build
	@nice -n 10 sh -exc '$(LINT)' >build/lint.log 2>&1 & lint=$$!; \
	nice -n 10 $(BIN)/pytest -q --durations 10 $(COMPUTING) >build/computing.log 2>&1 & computing=$$!; \
	nice -n 5 $(BIN)/pytest -q --durations 10 tests $(patsubst %,--ignore %,$(SERVICES) $(COMPUTING)) >build/rest.log 2>&1 & rest=$$!; \
	trap 'kill $$lint $$rest $$computing 2>/dev/null; exit 130' INT TERM; \
	$(BIN)/pytest --durations 10 $(SERVICES); services=$$?; \
	wait $$rest; rest=$$?; cat build/rest.log; \
	wait $$computing; computing=$$?; cat build/computing.log; \
	wait $$lint; lint=$$?; cat build/lint.log; \
	echo "services: $$services, rest: $$rest, computing: $$computing, lint: $$lint (0: passed)"; \
	exit $$((services | rest | computing | lint))

test-fast: $(TEST_STAMP)
	@# Two at a time, which take about as long as each other.
	@$(BIN)/pytest -q -m "not slow" tests/jobs & jobs=$$!; \
	$(BIN)/pytest -q -m "not slow" $(FAST); rest=$$?; \
	wait $$jobs && exit $$rest

# Every end-to-end test on Postgres and an S3 server, less those that are about files.
e2e-servers: $(TEST_STAMP)
	E2E_SERVERS=1 $(BIN)/pytest -q tests/e2e

lint: $(TEST_STAMP)
	@sh -exc '$(LINT)'

# Known vulnerabilities in what is installed; a notice where the index can't be asked.
audit: $(TEST_STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python .ci/audit.py

# Each parser for so many seconds, on inputs that were never tried: make fuzz SECONDS=300
SECONDS ?= 60
fuzz: $(TEST_STAMP)
	FUZZ_SECONDS=$(SECONDS) $(BIN)/pytest -q -m fuzz tests/security tests/api/test_fuzz.py tests/api/test_schema.py

# Half an hour to three quarters on two cores. docs/reliability.md says what is done, and how its table is renewed.
faults: $(TEST_STAMP)
	FAULTS_JSON=build/faults.json $(BIN)/pytest -q -m faults tests

# Ten minutes, an index, root and wget: the Dockerfile's steps in environments that have nothing, all
# services of docker-compose.yml on hosts of their own, and an upgrade while jobs run.
deployment: $(TEST_STAMP)
	$(BIN)/pytest -q -m deployment tests/deploy

# Under ten minutes. docs/performance.md says what is measured, and how its tables are renewed.
bench: $(TEST_STAMP)
	$(BIN)/python -m benchmarks --json build/bench-cpu.json

# One line where there is no GPU.
bench-gpu: $(TEST_STAMP)
	$(BIN)/python -m benchmarks --device cuda --json build/bench-cuda.json

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@command -v redis-server >/dev/null || $(PYTHON) -c 'import platform, sys; sys.exit((sys.version_info >= (3, 13) or platform.machine() != "x86_64") and "redis-server is needed here: apt install redis-server")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing Beholder and what it needs into .venv, once: minutes, and on Linux about 6 GB,"
	@echo "nearly all of it torch's CUDA build. README.md, Install, says how to bring another torch."
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[api,report,video,worker]'
	touch $@

$(TEST_STAMP): $(STAMP)
	@echo "Installing what tests need into .venv, once: minutes, and about 1 GB more."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
