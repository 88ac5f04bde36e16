# make demo     does the main job on real images, and says where to look
# make test     every check that CI makes
# make help     the rest
#
# Needs Python 3.11 or newer; everything else is installed into .venv, with the versions of
# constraints.txt. PYTHON names another interpreter, TORCH_INDEX another source of torch:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
TORCH_INDEX ?=
BIN := .venv/bin
# The name changes with what is to be installed, so an unchanged environment costs nothing.
STAMP := .venv/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: help demo demo-large test lint pytest pytest-whole stress bench bench-page bench-all evaluate follow train docs docs-images reference system-libs clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(STAMP) ## label real images, print the figures, write demo-output/
	$(BIN)/napari-ditto demo

IMAGES ?=
demo-large: $(STAMP) ## label a slide of 30,000 x 30,000, killed and resumed; IMAGES names a folder; half an hour
	$(BIN)/napari-ditto demo-large $(if $(IMAGES),--images $(IMAGES))

test: lint pytest ## lint, types, layers, and the whole test suite

lint: $(STAMP) ## ruff, mypy, import-linter, banned calls
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_banned.py

pytest: $(STAMP) ## the core without a display, the GUI with PyQt6 and with PySide6
	$(BIN)/python scripts/run_tests.py

pytest-whole: $(STAMP) ## the same, and with PySide6 not only every second GUI test
	$(BIN)/python scripts/run_tests.py --whole

stress: $(STAMP) ## the core tests with their long counts: kills, faults, races
	DITTO_STRESS=1 $(BIN)/python -m pytest -m "not gui" -p no:pytest-qt -p no:napari --timeout=3600 -o faulthandler_timeout=3600

BENCH ?=
bench: $(STAMP) .peers ## measure, write one record, compare with the history; BENCH names a part; 20 minutes
	$(BIN)/python -m benchmarks.run $(if $(BENCH),--only $(BENCH))

bench-page: $(STAMP) ## draw docs/explain/speed.md from the record and the history
	$(BIN)/python -m benchmarks.page

bench-all: $(STAMP) .peers ## all benchmarks, also those that only print their numbers; an hour
	$(BIN)/python -m pytest benchmarks --benchmark-enable -s --timeout=3600

# Benchmarks do without those that cannot be had, and say so.
.peers:
	$(BIN)/python scripts/dependency_groups.py peers | \
	  $(BIN)/python -m pip install --quiet --no-deps --target $@ -r /dev/stdin || echo "no peers"

EVAL_DATA ?= ../shared/data/eval
MODELS ?= ditto classic

evaluate: $(STAMP) ## measure MODELS on the named sets in EVAL_DATA, an hour; EVALUATE adds options
	$(BIN)/python -m napari_ditto.cli evaluate --data $(EVAL_DATA) $(addprefix --model ,$(MODELS)) \
	  --only prompts --only everything --only like --only semantic --out evaluation-output $(EVALUATE)
	cp evaluation-output/report.md docs/explain/evaluation.md

follow: $(STAMP) ## measure what MODELS carry through the stacks and movies in EVAL_DATA, a quarter of an hour
	$(BIN)/python -m napari_ditto.cli evaluate --data $(EVAL_DATA) $(addprefix --model ,$(MODELS)) \
	  --only follow --out follow-output $(EVALUATE)
	cp follow-output/report.md docs/explain/following-tables.md

# Resumed from where it stopped; the data bank takes 3 GB. More memory kept by malloc saves a fifth.
TRAIN_DATA ?= ../shared/data/train
RUN ?= training-run
STEPS ?= 5000
train: $(STAMP) ## train the bundled network from TRAIN_DATA into RUN, hours; writes the shipped weights
	test -e $(RUN)/bank/worlds_images.npy || $(BIN)/python -m training.bank --worlds 4000 --data $(TRAIN_DATA) --out $(RUN)/bank
	MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=8000000000 \
	  $(BIN)/python -m training.train --bank $(RUN)/bank --out $(RUN) --steps $(STEPS)
	$(BIN)/python -m training.calibrate --run $(RUN) --data $(TRAIN_DATA)
	$(BIN)/python -m training.export --run $(RUN)
	$(BIN)/python -m training.curves --run $(RUN) --out docs/images/training.svg

docs: $(STAMP) ## the documentation as a site, into site/; strict
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-images: $(STAMP) ## screenshots of the real program, and its clicks counted, for the docs
	for script in docs/screenshots*.py docs/recorded_session.py docs/ten_tasks.py; do \
	  xvfb-run -a -s "-screen 0 1600x1200x24" $(BIN)/python $$script; done

reference: $(STAMP) ## docs/reference from docstrings and --help
	$(BIN)/python docs/make_reference.py

system-libs:
	@scripts/system-libs.sh $(PYTHON)

$(STAMP): | system-libs
	$(if $(PYTHON),,$(error Python 3.11 or newer is needed; name one with PYTHON=/path/to/python))
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python scripts/dependency_groups.py project test lint docs | \
	  $(BIN)/python -m pip install --quiet -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r /dev/stdin
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	rm -f .venv/.installed-* && touch $@

clean: ## remove the environment and what the demo wrote
	rm -rf .venv .peers demo-output demo-large-output evaluation-output follow-output site
