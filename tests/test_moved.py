"""Modules that moved into rooms are found where they were, with a warning, until the next version but one."""

import pickle
import subprocess
import sys
from importlib import import_module

import pytest

import jaxmech as jm
from jaxmech._moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_what_an_old_path_promises_exists(old):
    assert import_module(f"jaxmech.{MOVED[old]}")


def test_old_paths_give_what_they_gave_and_say_where_it_is():
    code = """
import sys
import warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    from jaxmech.frontier import frontier
    from jaxmech.market import checked_market
    from jaxmech.pytrees import compiled, pytree
    from jaxmech import budget
    import jaxmech.sensitivity
    budget.solve_within_budget
    import jaxmech as jm
assert jm.frontier is frontier and callable(jm.sensitivity)
assert compiled.__module__ == "jaxmech.programs" and pytree.__module__ == "jaxmech.arrays"
for place in ("derivatives.frontier", "market.market", "programs", "arrays", "optimum.budget"):
    assert any(f"is now jaxmech.{place};" in str(one.message) for one in said), place
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_a_mechanism_pickled_by_its_old_path_is_read():
    mechanism = jm.solve(jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 2)), 0.5)
    old = pickle.dumps(mechanism, 0).replace(b"jaxmech.optimum.mechanism", b"jaxmech.mechanism")
    with pytest.warns(DeprecationWarning, match="is now jaxmech"):
        assert pickle.loads(old).eta == mechanism.eta
