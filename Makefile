# Each target sets up what it needs in .venv; nothing but Python >= 3.11 has to be there.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
PYTHON ?= python3
BIN := .venv/bin

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: .venv/shop ## a Flask and an aiohttp service, a request through both, and an agent's question
	@$(BIN)/python examples/shop/demo.py

demo-node: .venv/shop ## the same with an Express service in front; needs Node.js >= 20.6 and npm
	@$(BIN)/python examples/express/demo.py

test: .venv/test ## the tests, with the servers they start themselves: ten or twelve minutes
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

slow: .venv/test ## the long tests: pipelines under load, processes killed, installs, other Pythons
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow

soak: .venv/test ## break the pipeline at random for 20 minutes, and count what came of it
	@$(BIN)/python tests/faults/soak.py

lint: .venv/dev ## style, types and who may import whom
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint collector/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/shellcheck deploy/*.sh

fix: .venv/dev ## mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: .venv/dev ## the documentation, into site/; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

dist: .venv/dev ## the sdist and the wheel (and the npm package), built and checked
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist . > /dev/null
	@$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	@if [ -f exporters/node/package.json ]; then \
	  cd exporters/node && npm pack --silent --pack-destination ../../dist; \
	fi
	@ls -1 dist

up: .venv/shop ## everything on this machine, in the foreground
	@$(BIN)/godot-otel up

bench: .venv/test ## the figures of the README
	$(BIN)/python benchmarks/emit.py
	$(BIN)/python benchmarks/emit_spans.py
	$(BIN)/python benchmarks/footprint.py
	$(BIN)/python benchmarks/outages.py
	$(BIN)/python benchmarks/drain.py
	$(BIN)/python benchmarks/drain.py --spans
	$(BIN)/python benchmarks/original.py
	$(BIN)/python benchmarks/freshness.py --maintenance
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/sustained.py
	$(BIN)/python benchmarks/lookup.py
	$(BIN)/python benchmarks/scan.py
	$(BIN)/python benchmarks/filters.py
	$(BIN)/python benchmarks/query.py
	$(BIN)/python benchmarks/node_emit.py

clean: ## forget the virtual environment and what was built
	rm -rf .venv dist build site

# A virtual environment with one of the dependency groups; names what it downloads.
.venv/%: pyproject.toml
	@start=$$SECONDS; echo "installing into .venv ($*); this downloads about 100 MB"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@start=$$SECONDS; $(BIN)/python -m pip install -q --upgrade 'pip>=25.1'; \
	$(BIN)/python -m pip install -e '.[all]' --group $* \
	  | sed -u -n 's/^Collecting \([^ ]*\).*/  \1/p'; \
	echo "installed in $$((SECONDS - start)) s"
	@touch $@

.PHONY: help demo demo-node test slow soak lint fix docs dist up bench clean
