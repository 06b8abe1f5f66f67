"""Ready for accelerators without one: programs lower for them, and call nothing but what the compiler itself makes."""

import re

import jax
import pytest

import jaxmech as jm
from every_law import LAWS, market_of
from marks import cases


def certified(market, alpha):
    mechanism = jm.solve(market, alpha)
    slope = jax.grad(lambda alpha: jm.outcomes(jm.solve(market, alpha)).revenue)(alpha)
    return jm.outcomes(mechanism), jm.certify(mechanism), slope


# How many loops a certified point and its slope have: the searches for w*, η and the ends; in laws by panels also the
# search for bunches, three of whose loops are the pools': values join them, fall into them, and are told their level.
LOOPS = {"uniform": 4, "normal": 4, "triangular": 4, "histogram": 18, "mixture": 22}


@pytest.mark.slow
@pytest.mark.parametrize("law", cases(LAWS, ["normal", "mixture"]))
def test_every_law_lowers_without_custom_calls_or_callbacks(law):
    leaves, tree = jax.tree.flatten(market_of(law))
    program = jax.jit(lambda leaves, alpha: certified(jax.tree.unflatten(tree, leaves), alpha))
    for platform in ("cuda", "tpu"):
        text = jax.export.export(program, platforms=[platform])(leaves, 0.5).mlir_module()
        assert not re.findall(r"custom_call @\w+", text)  # callbacks to the host are some of them
        assert text.count("stablehlo.while") <= LOOPS.get(law, 30)
