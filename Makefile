# make quickstart | make tables | make test | make lock          (make help lists them)
PYTHON ?= python3
VENV := .venv
UV := .tools/bin/uv
RUN := $(VENV)/bin

# One thread for tiny models: with more they wait for each other. Set OMP_NUM_THREADS yourself to choose otherwise.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false

# What `make tables` makes: whose tables, at which size, with how many seeds, on how many CPU cores (empty: all).
# `make reproduce` does it for every paper.
PAPER ?= vq_insight
PROFILE ?= tiny
SEEDS ?= 1
CORES ?=

.PHONY: help quickstart tables reproduce report docs test bench lint lab lock clean

help:
	@echo "make quickstart   install, then teach a tiny model to score video quality (minutes, CPU)"
	@echo "make tables PAPER=vq_insight PROFILE=tiny [SEEDS=3] [CORES=2] [DRY=1]   every table and figure of a paper"
	@echo "make reproduce PROFILE=tiny [SEEDS=3] [CORES=2] [DRY=1]   the same for all three papers"
	@echo "make report       a site of all run folders, in report/index.html"
	@echo "make docs         tutorials, paper index, notebooks and reference as a site, in site/index.html"
	@echo "make test         install, then run the tests"
	@echo "make bench        install, then measure speed against stock TRL and plain transformers (20 minutes)"
	@echo "make lab          install, then open the notebooks in JupyterLab"
	@echo "make lint         ruff"
	@echo "make lock         write requirements.lock anew from pyproject.toml"

quickstart: $(VENV)/ready
	$(RUN)/vqa run 00_quickstart --profile tiny

tables reproduce: $(VENV)/ready
	$(RUN)/vqa tables $(if $(filter tables,$@),"$(PAPER)") --profile "$(PROFILE)" --seeds "$(SEEDS)" \
		$(if $(CORES),--cores "$(CORES)") $(if $(DRY),--dry-run)

report: $(VENV)/ready
	$(RUN)/vqa report --out report

# Strict: a link that leads nowhere is an error. The variable keeps the theme's news out of the log.
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --strict

# Two files at a time: each of the two workers needs about 3 GB.
test: $(VENV)/ready
	$(RUN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

bench: $(VENV)/ready
	$(RUN)/python benchmarks/read_lsvq.py
	$(RUN)/python -m benchmarks.bench

lint: $(VENV)/ready
	$(RUN)/ruff check . && $(RUN)/ruff format --check .

lab: $(VENV)/ready
	$(RUN)/jupyter lab notebooks

# Exactly the versions and hashes of the lock, then this checkout without its dependencies.
$(VENV)/ready: requirements.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	VIRTUAL_ENV=$(VENV) $(UV) pip sync --require-hashes requirements.lock
	VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --editable .
	touch $@

$(UV):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv

lock: | $(UV)
	$(UV) pip compile pyproject.toml --extra test --extra docs --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-header --quiet --output-file requirements.lock

clean:
	rm -rf $(VENV) .tools
