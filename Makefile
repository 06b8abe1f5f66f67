# Needs Python ≥ 3.11 and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: sweep paper test types quick exhaustive bench performance gallery docs wheel clean

sweep: $(VENV)/ready  ## the main job: 206,681 points on the Treasury futures market
	$(BIN)/jaxmech sweep experiments/us_treasury_10y_sweep.toml --out experiments/results/us_treasury_10y

paper: $(VENV)/ready  ## every figure and number of the paper, beside ours
	$(BIN)/python experiments/paper.py

test: $(VENV)/ready  ## lint and the suite
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not exhaustive"

types: $(VENV)/ready  ## the type checker, over the rooms that [tool.pyright] names
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

quick: $(VENV)/ready  ## the tests that are not slow
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not exhaustive"

exhaustive: $(VENV)/ready  ## what `make test` leaves out: the same claims over many more markets
	$(BIN)/python -m pytest -n 2 --dist loadfile -m exhaustive

bench: $(VENV)/ready  ## speed against peers, one process a question
	$(BIN)/python benchmarks/multipliers.py
	$(BIN)/python benchmarks/derivatives.py
	$(BIN)/python benchmarks/frontiers.py
	$(BIN)/python benchmarks/irregular.py
	$(BIN)/python benchmarks/auctions.py
	$(BIN)/python benchmarks/outside_options.py
	$(BIN)/python benchmarks/irregular_options.py

performance: $(VENV)/ready  ## every figure of docs/performance.md measured again, and the page written; about an hour
	$(BIN)/python benchmarks/performance.py

gallery: $(VENV)/ready  ## docs/gallery.md and its pictures, from examples/; two minutes
	$(BIN)/python docs/gallery.py

docs: $(VENV)/ready  ## the site, in build/site: guides, reference, theory, evidence
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: $(VENV)/ready  ## the wheel, alone in a fresh environment, solves a market there
	rm -rf build/lib build/wheel
	$(BIN)/python -m pip wheel -q --no-deps -w build/wheel . && rm -rf build/lib
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip install -q -c constraints.txt build/wheel/*.whl
	cd build/wheel && venv/bin/python -c "import jaxmech; assert 'site-packages' in jaxmech.__file__, jaxmech.__file__"
	cd build/wheel && venv/bin/jaxmech solve ../../experiments/markets/two_groups.toml --alpha 0.5

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[data,dask,plot,global,test]"
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache build *.egg-info
