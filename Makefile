# Penstock: `make help` lists the targets. Everything is installed below .venv/ and .cache/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first Python that is new enough; `make PYTHON=… run` names another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && exit; done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
# The trainer has a lock and an environment of its own: see "The reader" below.
MEMBERS := $(filter-out services/trainer/%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml))
MEMBER_DIRS := $(patsubst %/pyproject.toml,%,$(MEMBERS))
CHECKED := $(wildcard $(addsuffix /src,$(MEMBER_DIRS))) $(wildcard conftest.py contracts e2e infra)
# Runs on a bare Python, before anything is installed.
JARS = PYTHONPATH=libs/devstack/src $(PYTHON) -m penstock.devstack.jars
UV_VERSION := 0.13.9
export UV_NO_PROGRESS := 1

.PHONY: help run stop test test-all test-browser screenshots test-doctor test-secure test-servers test-containers test-helm test-operations images compose-up compose-test compose-down test-faults simulate mutants test-brokers check bench eval contracts dashboards test-alerts setup kafka lock clean distclean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: ## Set up, start everything, ingest e2e/sample, ask one question (ONCE=1: then stop)
	@$(MAKE) --no-print-directory prepared
	@exec $(BIN)/penstock demo $(if $(filter-out 0,$(ONCE)),--once)

stop: ## Stop the stack that runs here
	@if [ -x $(BIN)/penstock ]; then $(BIN)/penstock down; else echo "No stack runs here."; fi

test: ## Set up, check, and run the tests, up to half an hour; what takes longer has a target of its own
	@$(MAKE) --no-print-directory prepared
	@$(MAKE) --no-print-directory check
	@echo "==> Tests"
	@$(MAKE) --no-print-directory test-parts
	@$(MAKE) --no-print-directory test-whole
	@$(MAKE) --no-print-directory simulate SEEDS=100

# One after the other: beside the parts, two at a time, a stack as a whole starves on two cores.
.PHONY: test-parts test-whole
test-parts:
	@$(BIN)/pytest --numprocesses 2 --ignore infra/helm libs services contracts infra

test-whole:
	@$(BIN)/pytest e2e $(addprefix --ignore e2e/,brokers browser compose doctor operations secure)

# What takes longest comes last.
SUITES := browser secure helm alerts doctor servers trainer brokers operations containers
test-all: ## `make test`, and every other suite that this machine can run, for most of a day
	@$(MAKE) --no-print-directory test
	@for suite in $(SUITES); do $(MAKE) --no-print-directory test-$$suite || exit; done
	@$(MAKE) --no-print-directory compose-test
	@$(MAKE) --no-print-directory mutants
	@$(MAKE) --no-print-directory simulate SEEDS=10000
	@$(MAKE) --no-print-directory test-faults

check: setup ## Format, lint, types, import rules, contracts
	@echo "==> Format and lint"
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@echo "==> Types"
	@$(BIN)/mypy $(CHECKED)
	@echo "==> Import rules"
	@$(BIN)/lint-imports --no-logo
	@echo "==> Contracts"
	@$(BIN)/python contracts/render.py --check
	@echo "==> Dashboards"
	@$(BIN)/python -m infra.grafana.render --check
	@$(MAKE) --no-print-directory check-console

CONSOLE := services/gateway
.PHONY: check-console console-suite
check-console:
	@if node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; \
	  then $(MAKE) --no-print-directory console-suite; else echo "Skipped $@: this machine has no Node 20"; fi

console-suite: $(CONSOLE)/node_modules/.package-lock.json
	@echo "==> Console"
	@said=$$(npm --prefix $(CONSOLE) run --silent check) || { echo "$$said"; exit 1; }

$(CONSOLE)/node_modules/.package-lock.json: $(CONSOLE)/package-lock.json
	@npm --prefix $(CONSOLE) ci --silent --no-audit --no-fund
	@touch $@

bench: ## Measure what Penstock costs, beside its goals and a plain proxy; writes docs/benchmarks.md (QUICK=1: a minute and a half)
	@$(MAKE) --no-print-directory prepared
	@$(BIN)/python -m e2e.bench

# $(call suite,PROGRAMS,TARGET) makes TARGET; without one of the programs it says so in one line, and skips it.
missing = $(firstword $(foreach program,$(1),$(if $(shell command -v $(program)),,$(program))))
suite = $(if $(call missing,$(1)),echo "Skipped $@: this machine has no $(call missing,$(1))",$(MAKE) --no-print-directory $(2))
CHROMIUM = $(or $(firstword $(shell command -v chromium chromium-browser google-chrome google-chrome-stable)),chromium)
POSTGRES = $(or $(firstword $(wildcard /usr/lib/postgresql/*/bin/postgres) $(shell command -v postgres)),postgres)
.PHONY: browser-suite helm-suite servers-suite alerts-suite

test-browser: ## Use the console of a real stack in a real browser, minutes (needs Chromium: apt-get install chromium)
	@$(call suite,$(CHROMIUM),browser-suite)

browser-suite: browser-client
	@$(MAKE) --no-print-directory prepared
	@$(BIN)/pytest e2e/browser

screenshots: ## Take the pictures in docs/images anew (needs Chromium)
	@$(MAKE) --no-print-directory prepared browser-client
	@$(BIN)/pytest e2e/browser/screenshots.py

# Beside the locked dependencies, since nothing else needs them: `make setup` takes them out when the lock changes.
.PHONY: browser-client
browser-client: setup
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r e2e/browser/requirements.lock

test-doctor: ## What `penstock doctor` finds in brokers with something wrong in each, minutes
	@$(MAKE) --no-print-directory prepared
	@$(BIN)/pytest e2e/doctor

test-secure: ## The whole stack on a Kafka with TLS, users and ACLs, minutes
	@$(MAKE) --no-print-directory prepared
	@$(BIN)/pytest e2e/secure
	@PENSTOCK_TEST_KAFKA_CLIENT=kafka-python $(BIN)/pytest e2e/secure/test_secure_stack.py

# PENSTOCK_TEST_STACK_ACCOUNTS_DB and so on name servers that run already; see e2e/conftest.py.
test-servers: ## The end-to-end tests on PostgreSQL and Redis instead of SQLite and folders, minutes (needs both installed)
	@$(call suite,$(POSTGRES) redis-server,servers-suite)

servers-suite:
	@$(MAKE) --no-print-directory prepared
	@PENSTOCK_TEST_SERVERS=1 $(BIN)/pytest $(filter-out e2e/test_durability.py,$(wildcard e2e/test_*.py))

test-containers: ## Streaming, databases, the queue and the vector store on servers in containers, minutes (needs a Docker engine)
	@$(MAKE) --no-print-directory prepared
	@PENSTOCK_TEST_CONTAINERS=1 $(BIN)/pytest -k "kafka or postgresql or redis or real-server" \
	  libs/streaming libs/database services/gateway services/ingestion services/retrieval

# Helm and kubeconform, built by Go, which nothing else here needs. It takes minutes, once.
HELM := .cache/bin/helm
$(HELM): infra/helm/tools/go.mod infra/helm/tools/go.sum
	@echo "==> Building helm and kubeconform"
	@cd infra/helm/tools && go build -o $(CURDIR)/.cache/bin/ tool
	@touch $@

test-helm: ## Render and validate the Helm chart, and run its pods here, minutes (needs Go, PostgreSQL and Redis)
	@$(call suite,go $(POSTGRES) redis-server,helm-suite)

helm-suite: $(HELM)
	@$(MAKE) --no-print-directory prepared
	@$(BIN)/pytest infra/helm

test-operations: ## Upgrade, back up, restore and grow real stacks, and break them on purpose: twenty minutes
	@$(MAKE) --no-print-directory prepared
	@$(BIN)/pytest e2e/operations
	@$(BIN)/python -m e2e.operations.drill

images: ## Build every service's image (needs Docker); PUSH=1: to PENSTOCK_REGISTRY as well
	@$(PYTHON) infra/images/build.py $(if $(filter-out 0,$(PUSH)),--push)

compose-up: ## Start the stack in containers (OFFLINE=1: without a registry of images)
	@compose/stack.sh up

compose-test: ## Ask and kill everything in the compose stack, some 20 minutes
	@$(MAKE) --no-print-directory setup
	@$(BIN)/pytest e2e/compose

compose-down: ## Remove it: containers, networks, volumes (KEEP=1: not the volumes)
	@compose/stack.sh down

test-faults: ## Kill, freeze and fill everything under load, for hours (MINUTES=N each, SEED=S); writes docs/faults.md
	@$(MAKE) --no-print-directory prepared
	@$(BIN)/python -m e2e.faults $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

simulate: setup ## Run the line in simulated worlds with faults: SEEDS=N of them, one SEED=S with its story, or HOLES=1 put back
	@$(BIN)/python -m e2e.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000)) $(if $(HOLES),--holes)

MUTANTS_VENV := .cache/cosmic-ray
mutants: setup $(MUTANTS_VENV)/.installed ## Change the rules of the core a little, and see that tests notice, an hour (MODULE=one of them); writes docs/mutants.md
	@$(BIN)/python -m e2e.mutants $(if $(MODULE),--module $(MODULE))

$(MUTANTS_VENV)/.installed: $(BIN)/uv e2e/mutants/requirements.lock
	@$(PYTHON) -m venv $(MUTANTS_VENV)
	@VIRTUAL_ENV=$(MUTANTS_VENV) $(BIN)/uv pip sync --quiet --require-hashes e2e/mutants/requirements.lock
	@touch $@

test-brokers: ## Kill one of three Kafka nodes after the other under load, with each client, ten minutes
	@$(MAKE) --no-print-directory prepared
	@$(BIN)/pytest e2e/brokers

eval: setup ## Measure how well documents are found and answered from, over Python's and PostgreSQL's documentation; writes docs/retrieval.md and answers.md (PAGES=N, QUESTIONS=N: a sample; PART=quality, phrasings, floor, speed, large or answers; MANUAL=…)
	@$(BIN)/python -m e2e.eval $(if $(PAGES),--pages $(PAGES)) $(if $(QUESTIONS),--questions $(QUESTIONS)) $(if $(PART),--part $(PART)) $(if $(MANUAL),--manual $(MANUAL))

contracts: setup ## Render contracts/ from the types and the apps
	@$(BIN)/python contracts/render.py

dashboards: setup ## Render infra/grafana/dashboards and docs/metrics.md from the metrics' declarations
	@$(BIN)/python -m infra.grafana.render

# Prometheus's own tool, built by Go, which nothing else here needs. It takes minutes, once.
PROMTOOL ?= .cache/bin/promtool
.cache/bin/promtool:
	@echo "==> Building promtool"
	@GOBIN=$(CURDIR)/.cache/bin go install github.com/prometheus/prometheus/cmd/promtool@v0.316.0

test-alerts: ## Check alerts and dashboards with Prometheus's own tool (needs Go, or PROMTOOL=/path/to/promtool)
	@$(call suite,$(or $(wildcard $(PROMTOOL)),go),alerts-suite)

alerts-suite: setup $(PROMTOOL)
	@$(PROMTOOL) check rules --lint=all infra/prometheus/rules.yaml
	@$(PROMTOOL) test rules infra/prometheus/rules_test.yaml
	@$(BIN)/python -m infra.grafana.as_rules | $(PROMTOOL) check rules

# What is missing on this machine is said before anything is fetched; then both fetch at once.
.PHONY: prepared
prepared:
	@$(JARS) --check
	@$(MAKE) --no-print-directory -j2 setup kafka

kafka: ## Fetch Kafka's jars with Maven, unless PENSTOCK_KAFKA names a running Kafka
	@$(JARS)

# The reader: data, training and merging, in an environment of their own (services/trainer).
TRAINER := services/trainer
TRAINER_VENV := .venv-trainer
TRAINER_BIN := $(TRAINER_VENV)/bin

.PHONY: train-data train-reader merge-reader test-trainer
train-data: $(TRAINER_VENV)/.installed ## Make the reader's examples from Debian's manuals; writes services/trainer/manifest.json
	@$(TRAINER_BIN)/penstock-trainer data

train-reader: $(TRAINER_VENV)/.installed ## Teach SmolLM2 to answer from passages (MINUTES=N, or STEPS=N to repeat a run); goes on after a kill
	@$(TRAINER_BIN)/penstock-trainer train $(if $(STEPS),--steps $(STEPS),--minutes $(or $(MINUTES),60))

merge-reader: $(TRAINER_VENV)/.installed ## Merge the adapter into the model's GGUF file (KIND=Q8_0 or F16), and check the result
	@$(TRAINER_BIN)/penstock-trainer merge --kind $(or $(KIND),Q8_0)

test-trainer: $(TRAINER_VENV)/.installed ## Types and tests of the trainer, a minute
	@$(TRAINER_BIN)/mypy --config-file $(TRAINER)/pyproject.toml $(TRAINER)/src
	@JAX_DISABLE_MOST_OPTIMIZATIONS=1 $(TRAINER_BIN)/pytest -c $(TRAINER)/pyproject.toml $(TRAINER)/tests

$(TRAINER_VENV)/.installed: $(BIN)/uv $(TRAINER)/requirements.lock pyproject.toml $(TRAINER)/pyproject.toml libs/lora/pyproject.toml
	@echo "==> The trainer's environment in $(TRAINER_VENV)"
	@[ -x $(TRAINER_BIN)/python ] || $(PYTHON) -m venv --without-pip $(TRAINER_VENV)
	@VIRTUAL_ENV=$(TRAINER_VENV) $(BIN)/uv pip sync --quiet --require-hashes $(TRAINER)/requirements.lock
	@VIRTUAL_ENV=$(TRAINER_VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e libs/lora -e $(TRAINER)
	@touch $@

clean: stop ## Stop, and remove everything that was installed or fetched; keys and documents stay in .penstock
	@echo "==> Removing .venv .cache and the tools' caches"
	@rm -rf $(VENV) $(TRAINER_VENV) $(CONSOLE)/node_modules .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: ## clean, and delete .penstock: keys, documents, Kafka's data (asks; YES=1: does not)
	@if [ -d .penstock ] && [ "$(YES)" != 1 ]; then \
	  read -r -p "Delete all keys, documents and answers in .penstock? [y/N] " answer && [ "$$answer" = y ] || { echo "Nothing was deleted."; exit 1; }; fi
	@$(MAKE) --no-print-directory clean
	@rm -rf .penstock

setup: $(VENV)/.installed ## Create .venv from the lock file and install every member into it
	@:

$(BIN)/uv:
	@echo "==> Python environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Penstock needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.installed: $(BIN)/uv requirements.lock pyproject.toml $(MEMBERS)
	@echo "==> Locked dependencies (requirements.lock, hashes checked)"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	@echo "==> Penstock's own packages"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix -e ,$(MEMBER_DIRS))
	@touch $@

lock: $(BIN)/uv ## Resolve requirements.lock again from every pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header \
	  $(addprefix --no-emit-package penstock-,$(notdir $(MEMBER_DIRS))) \
	  pyproject.toml $(MEMBERS) -o requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header \
	  --constraints requirements.lock e2e/browser/requirements.in -o e2e/browser/requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header e2e/mutants/requirements.in -o e2e/mutants/requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --extra dev \
	  --no-emit-package penstock-lora --constraints requirements.lock services/trainer/pyproject.toml -o services/trainer/requirements.lock
