# Every target sets up what it needs: nothing has to be installed or activated first.

PYTHON ?= python3
WORKERS ?= 2
JUDGED := --cov-branch --cov-fail-under=100 --cov-report=term-missing:skip-covered
COVERAGE ?= --cov=intersection $(JUDGED)
COMMANDING := $(addprefix controller.,mode watchdog view loop fixed_time policy_source) \
	$(addprefix field_adapters.,ntcip ntcip_requests ntcip_ledger modbus virtual _conditions _following _totals)
COMMANDING_COVERAGE ?= $(COMMANDING:%=--cov=%) $(JUDGED)
MUTANTS_KILLED ?= 90

BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help run test test-core test-cabinet test-rest check format long-tests mutation clean distclean

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r target words; do \
		printf 'make %-12s %s\n' "$$target" "$$words"; done

run: $(INSTALLED) ## watch a real intersection under four kinds of control
	$(BIN)/phasewise demo

test: test-core test-cabinet test-rest ## run the tests, a few minutes

test-core: $(INSTALLED) ## run the tests of intersection/, every line and branch of it
	$(BIN)/pytest --doctest-modules intersection tests/intersection -n $(WORKERS) $(COVERAGE)

test-cabinet: $(INSTALLED) ## run the tests of controller/ and field_adapters/, every line and branch on the way to a command
	$(BIN)/pytest tests/controller tests/field_adapters -n $(WORKERS) --dist=worksteal $(COMMANDING_COVERAGE)

test-rest: $(INSTALLED) ## run the tests of everything else
	$(BIN)/pytest tests $(patsubst %,--ignore=tests/%,intersection controller field_adapters) -n $(WORKERS) --dist=worksteal

check: $(INSTALLED) ## check style, types and the import law
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED) ## lay out the code as `make check` wants it
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

long-tests: $(INSTALLED) ## run all tests, the long ones too, and the property tests at length
	$(BIN)/pytest tests -m '' --hypothesis-profile=long -n $(WORKERS) --dist=worksteal

mutation: $(INSTALLED) ## break shield and machine in every small way, and count what the tests notice
	$(BIN)/mutmut run
	$(BIN)/mutmut results
	$(BIN)/mutmut export-cicd-stats
	@$(BIN)/python -c "$$JUDGE_MUTANTS"

define JUDGE_MUTANTS
import json, sys
stats = json.load(open("mutants/mutmut-cicd-stats.json"))
killed = stats["killed"] + stats["timeout"] + stats["segfault"]
share = 100 * killed / max(1, stats["total"] - stats["skipped"])
print(f"{killed} of {stats['total']} mutants killed: {share:.1f} %, wanted $(MUTANTS_KILLED) %")
sys.exit(share < $(MUTANTS_KILLED))
endef
export JUDGE_MUTANTS

clean: ## remove what the tools left
	rm -rf build dist mutants .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environment too
	rm -rf .venv

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Phasewise needs Python 3.11 or newer; try: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo 'Installing into .venv: once, a few minutes.'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,bench,dev]'
	@touch $@
