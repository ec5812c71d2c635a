# Trainyard's commands. `make help` lists them; README.md says what for.
# Everything but `help` first makes .venv what uv.lock says, which takes no time when it is that already.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python that fits; `make PYTHON=/path/to/python up` names another.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { command -v "$$python"; break; }; done)
endif
VENV := .venv/bin
SANDBOX := $(VENV)/python -m sandbox
# Where the tests lie or what else pytest is told: make test TESTS="tests/stacks -k spot"
TESTS ?=
WORKERS ?= 2

.PHONY: data-upload data-verify demo-scale azure-snapshot docs-policies help setup up down start stop env status logs test check bench bench-previews bench-scaling bench-simulation recover lock schema storage-bench docs-storage previews

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {gsub(/\$$\$$/, "$$"); printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv what uv.lock says
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found: install one, or name it: make PYTHON=..." >&2; exit 1; }
	@"$(PYTHON)" sandbox/setup.py

up: setup ## bring up the platform in the sandbox; run it again after any change or crash
	@$(SANDBOX) up

down: setup ## destroy the sandbox's stack, stop every process, remove .sandbox
	@$(SANDBOX) down

start: setup ## start the sandbox's processes without deploying
	@$(SANDBOX) start

stop: setup ## stop the sandbox's processes and keep what is deployed
	@$(SANDBOX) stop

env: setup ## shell exports for pulumi, kubectl and Azure's SDKs: eval "$$(make -s env)"
	@$(SANDBOX) env

status: setup ## what of the sandbox runs
	@$(SANDBOX) status

logs: setup ## the end of the sandbox's logs; one of them: make logs NAME=azure
	@$(SANDBOX) logs $(NAME)

test: setup ## all tests; those of the whole use the running sandbox or start one
	@$(VENV)/python -m pytest -n $(WORKERS) --no-loadscope-reorder $(TESTS)

check: setup ## lint, format, types, and that what is generated is fresh
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/pyright
	@$(VENV)/zizmor --offline --quiet --no-progress .github/workflows
	@$(VENV)/python -m sandbox.lock --check
	@$(VENV)/python -m policy.docs --check
	@$(VENV)/python -c 'from stacks.schema import TARGET, rendered; \
		raise SystemExit(None if TARGET.read_text() == rendered() else "stacks/schema.json is stale: run make schema")'

bench: setup ## all measurements: previews, simulation, scaling; half an hour or so
	@code=0; for part in previews simulation scaling; do $(MAKE) --no-print-directory bench-$$part || code=1; done; exit $$code

bench-previews: setup ## time previews of the program against a bare one, at 4, 20 and 100 pools
	@$(SANDBOX) start
	@$(VENV)/python -m bench.previews

bench-scaling: setup ## time 0 -> 40 -> 0 and 0 -> 1,000 -> 0 machines in a sandbox of its own
	@$(VENV)/python -m bench.scaling

demo-scale: setup ## 40 GPU jobs, 0 to 40 machines and back, on the running sandbox: make demo-scale ARGS="--jobs 8"
	@$(VENV)/python -m sandbox.demo $(ARGS)

bench-simulation: setup ## time simulations of the real trace and of a million tasks, with their memory
	@$(VENV)/python -m bench.simulation

previews: setup ## preview all stacks in the sandbox with the policy pack; records and comments: make previews OUT=folder
	@$(SANDBOX) start
	@exports="$$($(SANDBOX) env)" && eval "$$exports" && \
		$(VENV)/python -m preview every --out $(or $(OUT),previews) -- --policy-pack policy

recover: setup ## show what a killed deployment left; mend it: make recover ARGS=--yes; STACK=prod for Azure
	@$(if $(STACK),,exports="$$($(SANDBOX) env)" && eval "$$exports" && )\
		$(VENV)/python -m recovery --stack $(or $(STACK),sandbox) $(ARGS)

lock: setup ## lock the dependencies anew
	@$(VENV)/python -m sandbox.lock

schema: setup ## generate stacks/schema.json from the settings
	@$(VENV)/python -m stacks.schema

storage-bench: setup ## measure a claim on the cluster kubectl is set to: make storage-bench ARGS="--claim data --pods 4 ..."
	@$(VENV)/python -m storage_bench run $(ARGS)

docs-storage: setup ## write docs/storage-comparison.md and its charts, measured results beside the computed
	@$(VENV)/python -m storage_bench docs

docs-policies: setup ## generate docs/policies.md and stacks/policies.schema.json from the policies
	@$(VENV)/python -m policy.docs

azure-snapshot: setup ## save what Azure says of quota, sizes and machines: make azure-snapshot REGIONS="westeurope"
	@$(VENV)/python -m policy.facts $(REGIONS)

data-upload: setup ## copy a dataset to where the stack wants it, or go on: make data-upload NAME=imagenet STACK=prod
	@$(if $(STACK),,exports="$$($(SANDBOX) env)" && eval "$$exports" && )\
		$(VENV)/python -m datasets upload --stack $(or $(STACK),sandbox) $(ARGS) "$(NAME)"

data-verify: setup ## read a dataset back in the cluster and compare it with its manifest
	@$(if $(STACK),,exports="$$($(SANDBOX) env)" && eval "$$exports" && )\
		$(VENV)/python -m datasets verify --stack $(or $(STACK),sandbox) $(ARGS) "$(NAME)"
