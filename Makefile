# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= out/demo
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,python3)
RESULTS ?= benchmarks/results
REPRODUCTION ?= out/reproduce-gpu
AUTOENCODER ?=
LIMIT ?= 540

.PHONY: help setup demo test test-cluster test-slow gpu-check gpu-reproduce check format clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(STAMP) ## Make the virtual environment in .venv with the pinned packages

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "equivdm needs Python 3.11 to 3.13, got $$($(PYTHON) --version 2>&1): set PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25' 'setuptools>=77' wheel
	# torch first: deepspeed builds against it, so it is installed without an isolated build environment.
	$(BIN)/pip install --quiet -c constraints.txt torch numpy ninja
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation deepspeed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## Run all five jobs at tiny size on an embedded Ray, and write a report
	$(BIN)/equivdm demo --out $(OUT)

test: setup ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m 'not ray and not cluster and not slow and not gpu' --durations 25
	$(BIN)/python -m pytest -m 'ray and not slow and not gpu' --durations 15

test-slow: setup ## Run the tests that kill jobs and let them continue, and others that take a minute each
	$(BIN)/python -m pytest -m 'slow and not gpu'

test-cluster: setup ## Run the tests that submit jobs to Ray nodes on this machine, of the Slurm script, of a bare environment
	$(BIN)/python -m pytest -m cluster --durations 10

# On a GPU machine that has its own Python with torch, triton and pytest, nothing need be installed.
gpu-check: ## Run the tests and benchmarks that need a GPU; results as text in benchmarks/results
	@$(GPU_PYTHON) -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "no CUDA device here: make gpu-check needs one")'
	PYTHONPATH=. TRITON_INTERPRET=0 $(GPU_PYTHON) -m pytest -q -c tests/gpu/pytest.ini --rootdir . --confcutdir tests/gpu tests/gpu
	PYTHONPATH=. TRITON_INTERPRET=0 $(GPU_PYTHON) -m benchmarks.gpu --out $(RESULTS)
	@if $(GPU_PYTHON) -c 'import diffusers, pydantic'; then \
		PYTHONPATH=. $(GPU_PYTHON) -m benchmarks.gpu_training --out $(RESULTS); \
	else echo 'training steps not measured: they need diffusers and pydantic'; fi

# Killed or stopped, the same command goes on. The results are text that names the machine.
gpu-reproduce: ## Put the paper's claims to the test on a GPU, in pieces of LIMIT seconds; no Ray is needed
	@$(GPU_PYTHON) -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "no CUDA device here: make gpu-reproduce needs one")'
	@$(GPU_PYTHON) -c 'import cv2, einops, jaxtyping, numba, pydantic, safetensors, yaml' \
	  || { echo "make gpu-reproduce needs: pip install opencv-python-headless einops jaxtyping numba pydantic safetensors PyYAML" >&2; exit 2; }
	PYTHONPATH=. TRITON_INTERPRET=0 $(GPU_PYTHON) -m benchmarks.reproduce --size gpu --out $(REPRODUCTION) --seconds $(LIMIT) \
	  $(if $(AUTOENCODER),--autoencoder $(AUTOENCODER))
	@mkdir -p $(RESULTS) && cp $(REPRODUCTION)/reproduce_gpu.md $(RESULTS)/

check: setup ## Format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_imports.py

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove the environment and what the demo wrote
	rm -rf $(VENV) out
