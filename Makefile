# make demo, make test: each sets up .venv first (target install) and then does its job.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := dev,nevergrad,sb3,hardware,console,export
DEBIAN_GL := libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libosmesa6

# One thread a process: the same bits everywhere, and faster on few cores.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive

.PHONY: install system demo test test-all lint bench

install: $(VENV)/.installed

# Missing system libraries give one line here, before anything long starts.
system:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is missing: sudo apt-get install -y python3.11 python3.11-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is too old, 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv is missing: sudo apt-get install -y python3-venv"; exit 1; }
	@$(PYTHON) -c 'import ctypes; ctypes.CDLL("libEGL.so.1"); ctypes.CDLL("libGL.so.1")' 2>/dev/null \
	  || { echo "System libraries for rendering are missing: sudo apt-get install -y $(DEBIAN_GL)"; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | system
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	$(BIN)/deft doctor --gl
	touch $@

demo: install
	$(BIN)/deft tune PickCup --eval-trials 50

test: install
	$(BIN)/python -m pytest -q -m "not slow"

test-all: install
	$(BIN)/python -m pytest -q

# mypy must see the two renamed packages under their import names.
lint: install
	mkdir -p build/types
	ln -sfn ../../experiments build/types/deft_experiments
	ln -sfn ../../mocks build/types/deft_mocks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Short forms, 11 minutes of CPU time: a quarter of an hour on two quiet cores, 35 minutes on two busy ones.
# benchmarks/agents_grid.py takes hours and is left out.
bench: install
	@printf '\n== %s\n\n' "the environment beside bare physics and Gymnasium's vector environments"
	@$(BIN)/python benchmarks/env_throughput.py --quick
	@printf '\n== %s\n\n' "what settings of the physics cost and change"
	@$(BIN)/python benchmarks/physics_study.py --quick
	@printf '\n== %s\n\n' "whole episodes on a GPU"
	@$(BIN)/python benchmarks/gpu_throughput.py --quick
	@printf '\n== %s\n\n' "what the run loop adds"
	@$(BIN)/python benchmarks/loop_overhead.py
	@printf '\n== %s\n\n' "what agents and policies cost"
	@$(BIN)/python benchmarks/agents_overhead.py --repeats 5
	@printf '\n== %s\n\n' "what agents reach, on synthetic landscapes"
	@$(BIN)/python benchmarks/agents_landscape.py --seeds 4
	@printf '\n== %s\n\n' "what agents reach, in physics"
	@$(BIN)/python benchmarks/agents_physical.py --quick
