# Thin on purpose: every line runs a script that can be read.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo up down status load simulate run backfill backup restore rollback rollback-model strategies export-customer erase-customer compose-smoke bench chaos soak why psql warehouse-url test test-long lint audit licences lock docs ready dev-ready installed

# Values reach the programs through the environment as they were typed: spaces, quotes and dollars are safe.
override export DATA := $(value DATA)
override export DAG := $(value DAG)
override export DAY := $(value DAY)
override export SNAPSHOT := $(value SNAPSHOT)
override export CONF := $(value CONF)
override export CUSTOMERS := $(value CUSTOMERS)
override export DAYS := $(value DAYS)
override export SEED := $(value SEED)
override export MODEL := $(value MODEL)
override export VERSION := $(value VERSION)
override export ID := $(value ID)
override export FROM := $(value FROM)
override export TO := $(value TO)
override export REPROCESS := $(value REPROCESS)
override export BACKUP := $(value BACKUP)
override export KEEP := $(value KEEP)
override export FORCE := $(value FORCE)
override export ANSWER := $(value ANSWER)
override export SIZES := $(value SIZES)
override export FOLDER := $(value FOLDER)
override export AIRFLOW := $(value AIRFLOW)
override export FAULTS := $(value FAULTS)
override export KINDS := $(value KINDS)
override export DAGS := $(value DAGS)
override export ADD := $(value ADD)
override export STAGES := $(value STAGES)
override export PAGE := $(value PAGE)

LOCAL := PYTHONPATH=include:. .venv/bin/python -m local

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-15s %s\n", $$1, $$2 }'

demo: ready  ## everything, from install to a segment for every customer; DATA=<file> takes a real data set
	@$(LOCAL) demo $(if $(DATA),--data "$$DATA")

up: ready  ## start PostgreSQL, MLflow and Airflow on this machine
	@$(LOCAL) up

down: installed  ## stop what `make up` started
	@$(LOCAL) down

status: installed  ## what runs, and where
	@$(LOCAL) status

load: ready  ## fill the shop: DATA=<file>, or without it a simulated shop, if there is none yet
	@$(LOCAL) load $(if $(DATA),--data "$$DATA")

simulate: ready  ## let the simulated shop grow: [DAYS=1] [ANSWER=1 does what is published]; or make a new one: CUSTOMERS=<n> [DAYS=546] [SEED=<n>]
	@$(LOCAL) simulate $(if $(CUSTOMERS),--customers="$$CUSTOMERS") $(if $(DAYS),--days="$$DAYS") $(if $(SEED),--seed="$$SEED") $(if $(ANSWER),--answer)

run: installed  ## run a DAG for a day and follow it: DAG=<dag_id> DAY=<yyyy-mm-dd> [CONF=<json>]
	@$(LOCAL) run --dag="$$DAG" --day="$$DAY" --conf="$$CONF"

backfill: installed  ## run a DAG for every day of a time, in order: FROM=<day> TO=<day> [DAG=<dag_id>] [REPROCESS=failed]
	@$(LOCAL) backfill --dag="$$DAG" --first="$$FROM" --last="$$TO" --again="$$REPROCESS"

backup: installed  ## write all that is kept to a folder, while runs go on: [TO=<folder>] [KEEP=<n>]
	@$(LOCAL) backup --to="$$TO" --keep="$$KEEP"

restore: ready  ## put a backup back: BACKUP=<folder> [FORCE=1 replaces what is there]
	@$(LOCAL) restore --backup="$$BACKUP" --force="$$FORCE"

rollback: installed  ## show an earlier snapshot of the segments: SNAPSHOT=<id>
	@$(LOCAL) rollback --snapshot="$$SNAPSHOT"

rollback-model: installed  ## put an earlier model back into use: MODEL=<name|all> [VERSION=<n>]
	@$(LOCAL) rollback-model --model="$$MODEL" --version="$$VERSION"

chaos: ready  ## break things under runs of every DAG, on a stack of its own; writes docs/chaos.md: [FAULTS=100] [SEED=<n>] [KINDS=<a,b>] [DAGS=<a,b>] [STAGES=1 without Airflow] [ADD=1]
	@$(subst -m local,-m local.chaos,$(LOCAL)) --faults="$${FAULTS:-100}" $(if $(SEED),--seed="$$SEED") --kinds="$$KINDS" --dags="$$DAGS" --stages="$$STAGES"

soak: ready  ## live through a season day by day, on a stack of its own, and see what grows; writes docs/soak.md: [DAYS=98] [CUSTOMERS=2000] [SEED=<n>]
	@$(subst -m local,-m local.soak,$(LOCAL)) $(if $(DAYS),--days="$$DAYS") $(if $(CUSTOMERS),--customers="$$CUSTOMERS") $(if $(SEED),--seed="$$SEED")

strategies: installed  ## check include/config/strategies.yaml, and count whom each strategy meets
	@$(LOCAL) strategies

export-customer: installed  ## write all that is kept of a person to a file: ID=<customer_id>
	@$(LOCAL) export-customer --id="$$ID"

erase-customer: installed  ## forget a person, everywhere: ID=<customer_id>
	@$(LOCAL) erase-customer --id="$$ID"

why: installed  ## why was a day slow: DAY=<yyyy-mm-dd> [DAG=segment_customers_daily]
	@$(LOCAL) why --dag="$${DAG:-segment_customers_daily}" --day="$$DAY"

psql: installed  ## a prompt in the warehouse; ARGS='-c "select 1"' for one statement
	@$(LOCAL) psql -- $(ARGS)

warehouse-url: installed  ## print the warehouse's URL, and nothing else
	@$(LOCAL) warehouse-url

compose-smoke: ready  ## try the deployment of docker-compose.yaml for real; needs Docker; ARGS=--celery for two workers
	@$(subst -m local,-m local.compose_smoke,$(LOCAL)) $(ARGS)

bench: ready  ## what a day costs, to docs/benchmarks.md: [SIZES="5000 20000"] [DAYS=730] [AIRFLOW=1] [SPARK=1] [PAGE=benchmarks] [FOLDER=<kept, to go on>]
	@$(subst -m local,-m local.bench.daily.command,$(LOCAL)) $(if $(SIZES),--sizes $$SIZES) $(if $(AIRFLOW),--airflow) $(if $(DAYS),--days $$DAYS) $(if $(SPARK),--spark) $(if $(PAGE),--name "$$PAGE") $(if $(FOLDER),--folder "$$FOLDER")

test: dev-ready  ## all tests but the long ones
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-long: dev-ready  ## the tests of many runs: every command of the documents; backup, restore, back-fill
	.venv/bin/python -m pytest -m long

lint: dev-ready  ## ruff and sqlfluff
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/sqlfluff lint include/sql local/sql

audit: dev-ready  ## known vulnerabilities of what is pinned; says so where no service can be asked
	@PYTHONPATH=include:. .venv/bin/python -m local.audit

licences: dev-ready  ## write docs/licences.md: under which licences the pinned packages are
	@PYTHONPATH=include:. .venv/bin/python -m local.licences

docs: dev-ready  ## write the documents that are generated: docs/features.md, output-contract.md, DAGs.md
	@PYTHONPATH=include:. .venv/bin/python -m local.docs

ready:
	@sh local/install.sh requirements.txt

dev-ready:
	@sh local/install.sh requirements-dev.txt

installed:
	@test -x .venv/bin/python || { echo "Nothing is installed yet: run \`make up\` or \`make demo\`." >&2; exit 1; }

lock: dev-ready  ## compile requirements*.in into requirements*.txt, every version pinned
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate requirements.in -o requirements.txt
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate requirements-spark.in -o requirements-spark.txt
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate requirements-dev.in -o requirements-dev.txt
