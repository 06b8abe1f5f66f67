"""How large the programs are that the public functions trace: operations of the jaxpr, inner ones counted.

Tracing, compiling and, of single markets, running cost in proportion. A change that makes one larger raises its number
here and says why. The same on every machine.
"""

import jax
import pytest

import jaxmech as jm
from every_law import bell, market_of
from jaxmech.derivatives.answers import _answers
from jaxmech.optimum.certificate import _certify
from jaxmech.optimum.outcomes import _outcomes
from jaxmech.optimum.solve import _solve
from marks import cases

# Of two groups: solve, outcomes, certify, and the gradient of revenue in α; half a percent above what was counted.
# That the same code takes outside options, welfare weights and targets costs markets without them five operations.
# Certificates of laws by panels look into cut panels apart from whole ones: sixty operations for a quarter of the time.
# And all look at a type within the binding interval, twenty operations: without it one that is too wide was certified.
SIZES = {
    "uniform": (875, 90, 340, 1370),
    "normal": (1600, 90, 815, 2330),
    "beta": (1725, 90, 1095, 2415),
    "histogram": (3300, 90, 1015, 4545),
    "mixture": (3970, 90, 1490, 5300),
    "triangular": (1400, 90, 715, 2095),
    "student": (3590, 90, 1190, 4910),
    "density": (3555, 90, 1110, 4875),
}


def operations(jaxpr):
    """Equations of a jaxpr and of all those inside it."""
    inside = 0
    for equation in jaxpr.eqns:
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            closed = getattr(value, "jaxpr", value)
            inside += operations(closed) if hasattr(closed, "eqns") else 0
    return len(jaxpr.eqns) + inside


def counted(function, *arguments):
    return operations(jax.make_jaxpr(function)(*arguments).jaxpr)


@pytest.mark.slow
@pytest.mark.parametrize("law", cases(SIZES, ["uniform", "normal", "histogram", "mixture"]))
def test_programs_are_no_larger_than_they_were(law):
    market = market_of(law)
    mechanism = jm.solve(market, 0.5)
    found = (
        counted(lambda alpha: jm.solve(market, alpha), 0.5),
        counted(lambda _: jm.outcomes(mechanism), 0.5),
        counted(lambda _: jm.certify(mechanism), 0.5),
        counted(jax.grad(lambda alpha: jm.outcomes(jm.solve(market, alpha)).revenue), 0.5),
    )
    assert all(size <= most for size, most in zip(found, SIZES[law], strict=True)), found


def programs():
    """How many programs of each function are compiled."""
    return [of.programs() for of in (_solve, _outcomes, _certify, _answers)]


def asked_everything(market):
    mechanism = jm.solve(market, 0.4)
    jm.outcomes(mechanism), jm.certify(mechanism), jm.answers(market, 0.4), jm.budget_weight(market)
    return mechanism


def test_renaming_a_group_compiles_nothing():
    def solved(*names):
        traders = (jm.Traders(jm.Uniform(-1, 1), size, 5, name) for size, name in zip((1.0, 2.0), names, strict=True))
        assert asked_everything(jm.Market.of(*traders)).market.names == names
        return programs()

    assert solved("a", "b") == solved("dealer", "fund")


@pytest.mark.slow
def test_a_density_of_one_function_is_compiled_once_however_often_the_law_is_built():
    def solved(scale):
        law = jm.Density(bell, {"s": scale}, -1.0, 1.0)
        asked_everything(jm.Market.of(jm.Traders(law, 1.0, 5)))
        return programs()

    assert solved(0.5) == solved(0.7)
