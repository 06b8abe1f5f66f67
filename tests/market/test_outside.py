"""The door for outside options and welfare weights, and what a market outside is worth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.market.outside import OutsideMarket, OutsideOption
from jaxmech.optimum.target_lines import outside_gain

LAW = jm.Uniform(-1, 1)


def market(**more):
    return jm.Market.of(jm.Traders(LAW, 0.5, 3, "fund", **more))


def option(*numbers):
    return {"outside": OutsideOption(*numbers)}


def priced(*numbers):
    return {"outside": OutsideMarket(*numbers)}


REFUSED = {
    "weight NaN": ({"welfare_weight": np.nan}, "welfare_weight of traders 1 (fund) is nan; it must be a finite number"),
    "weight a text": ({"welfare_weight": "0.1"}, "welfare_weight of traders 1 (fund) is '0.1'; give a number"),
    "weight None": ({"welfare_weight": None}, "welfare_weight of traders 1 (fund) is None; give a number"),
    "option a number": ({"outside": 0.3}, "outside of traders 1 (fund) is 0.3; give OutsideMarket(price, cost) or"),
    "gamma below 0": (option(-0.1), "outside_gamma of traders 1 (fund) is -0.1; it must lie in [0, 1)"),
    "gamma infinite": (option(np.inf), "outside_gamma of traders 1 (fund) is inf; it must be a finite number"),
    "gamma at its limit": (option(2 / 3), "outside_gamma of fund is 0.666667; it must be below 1 − κ/K = 0.666667"),
    "gamma of one group": (option([0.1, 0.95]), "outside_gamma of fund_2 is 0.95; it must be below 1 − κ/K = 0.833333"),
    "centre NaN": (option(0.3, np.nan), "outside_centre of traders 1 (fund) is nan; it must be a finite number"),
    "reserve below 0": (option(0.3, 0, -1), "outside_reserve of traders 1 (fund) is -1; it must be ≥ 0"),
    "cost 0": (priced(0, 0), "outside_cost of traders 1 (fund) is 0; it must be > 0"),
    "cost below 0": (priced(0, -2), "outside_cost of traders 1 (fund) is -2; it must be > 0"),
    "cost at its limit": (priced(0, 1.0), "outside_cost of fund is 1; it must be above 1/(K − κ) = 1"),
    "price infinite": (priced(np.inf, 2), "outside_price of traders 1 (fund) is inf; it must be a finite number"),
    "shapes": (
        {"welfare_weight": [0.1, 0.2], **option([0.1, 0.2, 0.3])},
        "count (), welfare_weight (2,), outside_gamma (3,), outside_centre (), outside_reserve (); use scalars",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_with_its_name_and_value(name):
    more, said = REFUSED[name]
    with pytest.raises(jm.MarketError) as refusal:
        market(**more)
    assert said in str(refusal.value)


def test_nothing_outside_and_no_weight_are_not_there():
    for more in ({}, {"welfare_weight": 0}, option(0), option([0.0, 0.0])):
        assert market(**more).outside is None and market(**more).welfare_weight is None
    assert market(**option(0, 0, 0.1)).outside is not None


def test_one_number_a_group_and_one_of_all_may_be_mixed():
    many = market(welfare_weight=(0.1, 0.2), **option(0.1, [0.0, 0.3]))
    assert many.groups == 2
    np.testing.assert_array_equal(many.option.centre, [0.0, 0.3])
    np.testing.assert_array_equal(many.option.gamma, [0.1, 0.1])


def test_a_market_outside_is_worth_what_the_best_trade_there_gains():
    """max over q of −(zq + ½q²)/κ − P₀q − ½ρq²: beyond §11. Beside a group whose option is given in the raw form."""
    price, cost, capacity = 0.4, 2.5, 0.5
    dealt = jm.Traders(LAW, capacity, 3, "dealt", outside=OutsideMarket(price, cost, 0.02))
    both = jm.Market.of(dealt, jm.Traders(LAW, 0.8, 2, "raw", outside=OutsideOption(0.2, 0.1)))
    z, q = np.linspace(-1, 1, 9), np.linspace(-2, 2, 400_001)[:, None]
    best = np.max(-(z * q + 0.5 * q**2) / capacity - price * q - 0.5 * cost * q**2, axis=0)
    worth = outside_gain(both.option, jnp.stack([z, z], 1), both.risk_capacity)
    np.testing.assert_allclose(worth[:, 0], 0.02 + best, rtol=0, atol=1e-9)
    np.testing.assert_allclose(worth[:, 1], 0.2 * (z - 0.1) ** 2 / 1.6, rtol=1e-14)
    np.testing.assert_array_equal(worth, jm.solve(both, 0.5, -np.inf).outside_gain(jnp.stack([z, z], 1)))


GROUP = (
    '[[traders]]\nname = "fund"\nrisk_capacity = 0.5\ncount = 3\nendowment = {law = "uniform", lower = -1, upper = 1}\n'
)


def from_text(folder, *lines):
    path = folder / "market.toml"
    path.write_text(GROUP + "\n".join(lines))
    return jm.Market.from_toml(path)


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("welfare_weight = 0.2", {"welfare_weight": 0.2}),
        ("outside = {price = 0.1, cost = 3.0}", priced(0.1, 3.0)),
        ("outside = {gamma = 0.3, centre = 0.1, reserve = 0.02}", option(0.3, 0.1, 0.02)),
        ("outside = {gamma = [0.1, 0.2]}", option([0.1, 0.2])),
    ],
)
def test_a_file_says_the_same(tmp_path, line, more):
    written, made = from_text(tmp_path, line), market(**more)
    assert jax.tree.structure(written) == jax.tree.structure(made)
    for one, other in zip(jax.tree.leaves(written), jax.tree.leaves(made), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("outside = {price = 0.1}", "traders 1 (fund): outside: 'cost' is missing"),
        ("outside = {}", "traders 1 (fund): outside: 'gamma' is missing"),
        (
            "outside = {price = 0.1, cost = 3.0, gamma = 0.3}",
            "outside: unknown key 'gamma'; allowed: cost, price, reserve",
        ),
        ('outside = "dealer"', "outside is 'dealer'; write { price = 0.0, cost = 0.5 } or { gamma = 0.3 }"),
        ("outside = {gamma = true}", "outside_gamma of traders 1 (fund) is True; give a number"),
        ("welfare = 0.2", "unknown key 'welfare'"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, line, said):
    with pytest.raises(jm.MarketError) as refusal:
        from_text(tmp_path, line)
    assert said in str(refusal.value)


def test_a_target_is_one_number_a_market():
    for bad in (np.nan, np.inf, "0.1", True, [0.1, 0.2], 1j):
        with pytest.raises(jm.MarketError, match="minimum_revenue"):
            jm.solve(market(), 0.5, bad)
    with pytest.raises(jm.MarketError, match="−∞ and the welfare weight of fund above alpha"):
        jm.solve(market(welfare_weight=0.7), 0.5, -np.inf)
