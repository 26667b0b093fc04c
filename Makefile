# What one types here; `make help` lists it.
VENV := .venv/bin
COMPOSE := $(shell command -v docker-compose || echo docker compose)
export COMPOSE_EXECUTORS ?= 1

.PHONY: help setup images demo check lint test chaos cgroup2 bench compose-build compose-up compose-down clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## packages, virtual environment, runtime images; does only what is missing
	@scripts/setup

images: ## the runtime images alone
	@scripts/images

demo: setup ## the whole stack on this machine: four functions, their results and the advice
	@$(VENV)/python -m local.demo

$(VENV)/ruff:
	@scripts/setup

lint: $(VENV)/ruff # everything of `check` that needs no test
	$(VENV)/ruff check --quiet .
	$(VENV)/ruff format --check --quiet .
	$(VENV)/mypy --no-error-summary
	$(VENV)/lint-imports --no-logo
	$(VENV)/python scripts/generate_events_doc.py --check
	$(VENV)/python scripts/generate_acl.py --check
	$(VENV)/python scripts/generate_cli_doc.py --check
	$(VENV)/python scripts/generate_dashboard.py --check

check: lint ## the fast inner loop: linters, types, contracts of imports, unit tests, the budget
	$(VENV)/pytest --quiet tests/unit tests/integration/test_budget.py

test: ## everything, real Redis and real Docker included; installs what is missing
	@scripts/setup --test
	@$(MAKE) --no-print-directory lint
	@scripts/with-engine sh -euc 'scripts/images; exec $(VENV)/pytest -n 2 --dist loadfile --durations 40 $(PYTEST_ARGS)'

chaos: ## KILLS=1000 SECONDS=600: everything is killed at random under load; a report of what held
	@scripts/setup --test
	@$(VENV)/python -m tests.chaos --kills $(or $(KILLS),1000) --seconds $(or $(SECONDS),600) \
	  $(CHAOS_ARGS)

cgroup2: ## the readings on real cgroup v2: Linux 6.1 and 6.12 in a software-emulated machine; minutes
	@scripts/setup --test
	@$(VENV)/pytest --quiet tests/kernel/test_cgroup2.py

bench: setup ## what one warm invocation costs and how many a second; bench/results.json
	@$(VENV)/python -m bench $(BENCH_ARGS) $(if $(QUICK),--quick)

compose-build: images ## the image of the services
	@scripts/images --certificates
	$(COMPOSE) build

compose-up: compose-build ## the stack in containers; COMPOSE_EXECUTORS=2 for two executors
	$(COMPOSE) up --detach --scale executor=$(COMPOSE_EXECUTORS)

compose-down: ## end it; the volume with the log stays
	$(COMPOSE) down --remove-orphans

clean: ## what can be made again: environment, caches, state of the embedded default
	rm -rf .venv .hearth build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache
