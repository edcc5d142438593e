# One command for each job. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r
SEEDS ?= 200
ROUNDS ?= 20
SEED ?= 1
SOURCES := layers/contract/src layers/core/src functions node_agent/src node_agent/packaging examples lab tests bench spec acceptance
PYTHONPATH_ALL := layers/contract/src:layers/core/src:node_agent/src:.
export SAM_CLI_TELEMETRY := 0

.PHONY: help demo lab lab-faults test sim sim-mutants bench docs explore spec check lint build deploy acceptance agent-packages packages clean

help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.lab ## The main job on this machine, no root: ARGS="--json FILE", or ARGS=--serve
	@$(PY) -m lab demo $(ARGS)

lab: $(VENV)/.lab packages ## The same on a real Pacemaker cluster, beside its peers: root, ARGS="--token 3000"
	@$(PY) -m lab real $(ARGS)

lab-faults: $(VENV)/.lab packages ## Random real faults on real clusters, judged: root, ROUNDS=100, SEED=1, ARGS="--first 7"
	@$(PY) -m lab.rounds --rounds $(ROUNDS) --seed $(SEED) $(ARGS)

test: $(VENV)/.dev .venv-sam/.ok .venv-emulator/.ok ## All tests; those of the real cluster and the browser need `make packages`
	@$(PY) -m pytest $(ARGS)

sim: $(VENV)/.dev ## The deterministic simulation: SEEDS=1000, ARGS="--first 7"
	@cd tests && ../$(PY) -m simulation --seeds $(SEEDS) --jobs 2 $(ARGS)

sim-mutants: $(VENV)/.dev ## The planted bugs, and how many seeds catch each
	@cd tests && ../$(PY) -m simulation --mutants --seeds 1500 $(ARGS)

bench: $(VENV)/.bench ## Benchmarks beside their peers: a table, bench/results.json and a plot; the cluster as root
	@$(PY) -m bench $(ARGS)

docs: $(VENV)/.dev ## Write docs/rules.md anew from the rule table and the scenarios
	@cd tests && ../$(PY) -m scenarios.page

explore: $(VENV)/.dev ## Every interleaving of a small world: ARGS="--nodes 2 --depth 12"
	@cd tests && ../$(PY) -m exploration $(ARGS)

spec: | $(VENV)/bin/python ## Check the specification's model, or a history: ARGS=--long, ARGS="--history FILE"
	@$(PY) -m spec $(ARGS)

lint: $(VENV)/.dev ## Style, types, import rules, the template as written and as translated
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/mypy layers/contract/src layers/core/src node_agent/src lab tests bench spec acceptance
	$(VENV)/bin/mypy node_agent/packaging/build.py
	$(VENV)/bin/mypy functions/arbitrate/handler.py
	$(VENV)/bin/mypy functions/operate/handler.py
	$(VENV)/bin/mypy functions/watch/handler.py
	$(VENV)/bin/mypy functions/widget/handler.py
	$(VENV)/bin/mypy examples/probe/function/handler.py
	PYTHONPATH=$(PYTHONPATH_ALL) $(VENV)/bin/lint-imports
	$(PY) -m lab.embedded.translate template.yaml > $(VENV)/translated.json
	$(PY) -m lab.embedded.translate examples/probe/template.yaml --parameter Targets=192.0.2.1:80 \
		--parameter NoticesTopicArn=arn:aws:sns:eu-central-1:123456789012:notices > $(VENV)/probe.json
	$(VENV)/bin/cfn-lint --template $(VENV)/translated.json $(VENV)/probe.json examples/classic/template.yaml

check: lint build test ## All that CI checks

build: .venv-sam/.ok ## sam validate and sam build, without Docker and without Lambda's own Python
	.venv-sam/bin/sam validate --lint --region eu-central-1
	.venv-sam/bin/sam build

deploy: build ## sam deploy, to your account: ARGS="--guided" the first time
	.venv-sam/bin/sam deploy $(ARGS)

acceptance: $(VENV)/.lab ## What it would measure in an account of yours; with ARGS="--yes --account ..." it does
	@$(PY) -m acceptance $(ARGS)

agent-packages: ## The agent's .deb, .rpm and single file, into dist/: SOURCE_DATE_EPOCH is honoured
	@$(PYTHON) node_agent/packaging/build.py dist $(ARGS)

packages: ## The Debian packages of the real cluster, the browser and the IAM tests, where missing (root)
	@sh lab/cluster/packages.sh

clean: ## Remove what these commands made
	rm -rf $(VENV) .venv-sam .venv-emulator .aws-sam dist tests/iam/node_modules

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13")'
	@$(PYTHON) -m venv $(VENV) || { echo "on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.lab: requirements/lab.txt | $(VENV)/bin/python
	@echo "installing what the lab needs (once)"
	@$(PY) $(PIP_INSTALL) requirements/lab.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt tests/iam/package-lock.json | $(VENV)/bin/python
	@echo "installing what the tests need (once)"
	@$(PY) $(PIP_INSTALL) requirements/dev.txt
	@! command -v npm >/dev/null || npm --prefix tests/iam ci --silent --no-audit --no-fund
	@touch $@ $(VENV)/.lab

$(VENV)/.bench: requirements/bench.txt | $(VENV)/.dev
	@$(PY) $(PIP_INSTALL) requirements/bench.txt
	@touch $@

.venv-sam/.ok: requirements/sam.txt
	@echo "installing the SAM command (once)"
	@$(PYTHON) -m venv .venv-sam
	@.venv-sam/bin/python $(PIP_INSTALL) requirements/sam.txt
	@touch $@

.venv-emulator/.ok: requirements/emulator.txt
	@echo "installing the emulator that takes sam deploy (once)"
	@$(PYTHON) -m venv .venv-emulator
	@.venv-emulator/bin/python $(PIP_INSTALL) requirements/emulator.txt
	@touch $@
