# make run: from a fresh clone to a leaderboard.  make test: the tests.  Both make .venv first.
# make bench DATA_DIR=FOLDER: the benchmarks of speed, on the text of a data folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.installed
DATA_DIR ?= ../shared/data

.PHONY: setup run test lint bench bench-gpu clean

setup: $(DONE)

$(DONE): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,figures,s3,trackers]'
	touch $(DONE)

run: setup
	$(BIN)/python search/run.py --space orders

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What a CPU does in a quarter of an hour, on an otherwise idle machine; for other sizes see the scripts' --help.
bench: setup
	$(BIN)/python -m benchmarks.first_run --record
	$(BIN)/python -m benchmarks.overhead --repeats 2 --record
	$(BIN)/python -m benchmarks.sharing --repeats 1 --record
	$(BIN)/python -m benchmarks.switch --data-dir $(DATA_DIR) --record
	$(BIN)/python -m benchmarks.train --repeats 2 --data-dir $(DATA_DIR) --record
	$(BIN)/python -m benchmarks.evaluate --repeats 2 --data-dir $(DATA_DIR) --record
	$(BIN)/python -m benchmarks.fused --batch 4 --candidates 8 --steps 60 --repeats 3 --data-dir $(DATA_DIR) --record
	$(BIN)/python -m benchmarks.scale --record

# With a GPU; the peak is an H200's.
bench-gpu: setup
	$(BIN)/python -m benchmarks.train --shape large --device cuda --precision bfloat16 --batch 16 --steps 200 \
		--peak-tflops 989 --data-dir $(DATA_DIR) --record
	$(BIN)/python -m benchmarks.train --shape large --device cuda --precision bfloat16 --tokens 8192 --steps 40 \
		--peak-tflops 989 --data-dir $(DATA_DIR) --record
	$(BIN)/python -m benchmarks.fused --shape large --device cuda --length 128 --data-dir $(DATA_DIR) --record
	$(BIN)/python -m benchmarks.switch --shape large --device cuda --data-dir $(DATA_DIR) --record
	$(BIN)/python -m benchmarks.profile --shape large --device cuda --precision bfloat16 --limit 2000 \
		--data-dir $(DATA_DIR) --record

clean:
	rm -rf $(VENV)
