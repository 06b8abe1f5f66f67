"""Numbers of a market by name: what each name stands for, read and set, on batches and under jit.

Names that are refused and the factors of sweeps are in tests/sweep/test_design.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.market.parameters import (
    every_parameter,
    group_entries,
    market_at,
    market_with,
    name_parts,
    named_parameter,
    present_values,
    refuse_overlaps,
    valid_market,
)

MARKET = jm.Market.of(
    jm.Traders(jm.TruncatedNormal(0.1, 0.5, -1.0, 1.0), 0.5, 4, "dealer"),
    jm.Traders(jm.Uniform(-2.0, 1.0), 1.5, 1, "fund"),
    jm.Traders(jm.Beta(2.0, 3.0, 0.0, 1.0), 0.7, 2, "bank"),
)


def named(*names):
    return tuple(named_parameter(name, MARKET) for name in names)


def leaves(market):
    return [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(market)]


def test_every_parameter_names_every_number_once_group_by_group():
    assert [one.name for one in every_parameter(MARKET)] == [
        *(f"dealer.{field}" for field in ("risk_capacity", "count", "loc", "scale", "lower", "upper")),
        *(f"fund.{field}" for field in ("risk_capacity", "count", "lower", "upper")),
        *(f"bank.{field}" for field in ("risk_capacity", "count", "a", "b", "lower", "upper")),
    ]


def test_every_parameter_is_what_its_name_says():
    assert every_parameter(MARKET) == named(*(one.name for one in every_parameter(MARKET)))


def test_groups_may_be_called_what_parameters_and_fields_are():
    """Names are read from the right, so each is the name of one number alone."""
    names = (
        "a.b",
        "a",
        "x.lower",
        "lower",
        "factor",
        "all.count",
        'US/EU: "x" [1]',
        " é ",
        "alpha",
        "A",
        "e\u0301",
        "é",
    )
    market = jm.Market.of(*(jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 1, name) for name in names))
    every = every_parameter(market)
    assert len({one.name for one in every}) == len(every) == 4 * len(names)
    for one in every:
        found, factor = named_parameter(one.name, market), named_parameter(f"{one.name}.factor", market)
        assert (found.name, found) == (one.name, one)
        assert (factor.group, factor.field, factor.factor) == (one.group, one.field, True)
    assert named_parameter("all.count.factor", market).group is None
    assert named_parameter("all.count.count", market).group == names.index("all.count")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.b.lower", ("a.b", "lower", False)),
        ("a.b.lower.factor", ("a.b", "lower", True)),
        ("factor.factor.factor", ("factor", "factor", True)),
        ("alpha", ("", "alpha", False)),
    ],
)
def test_names_are_read_from_the_right(name, parts):
    assert name_parts(name) == parts


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (("all.risk_capacity", "dealer.risk_capacity"), True),
        (("dealer.risk_capacity", "dealer.risk_capacity.factor"), True),
        (("dealer.count.factor", "all.count"), True),
        (("fund.lower", "fund.lower"), True),
        (("all.endowment.factor", "dealer.scale"), True),
        (("dealer.loc", "dealer.endowment.factor"), True),
        (("all.risk_capacity.factor", "dealer.risk_capacity.factor"), False),
        (("all.endowment.factor", "dealer.scale.factor"), False),
        (("all.endowment.factor", "bank.a", "fund.count"), False),
        (("dealer.endowment.factor", "fund.lower", "dealer.lower.factor", "dealer.count"), False),
    ],
)
def test_names_that_set_one_number_twice_are_refused_and_factors_multiply(names, refused):
    if not refused:
        return refuse_overlaps(named(*names))
    with pytest.raises(jm.MarketError, match=f"{names[0]} and {names[1]} set the same number; vary one of them"):
        refuse_overlaps(named(*names))


def test_present_values_are_the_numbers_that_built_the_market():
    values = present_values(MARKET, every_parameter(MARKET))
    assert values.tolist() == [0.5, 4, 0.1, 0.5, -1, 1, 1.5, 1, -2, 1, 0.7, 2, 2, 3, 0, 1]
    assert values.dtype == jnp.float64


def test_a_market_with_its_own_values_is_itself():
    parameters = every_parameter(MARKET)
    again = market_with(MARKET, parameters, present_values(MARKET, parameters))
    assert jax.tree.structure(again) == jax.tree.structure(MARKET)
    assert leaves(again) == leaves(MARKET)


def test_values_set_are_the_values_read():
    parameters = every_parameter(MARKET)
    values = jnp.asarray(np.random.default_rng(1).uniform(0.5, 1.5, len(parameters)))
    np.testing.assert_array_equal(present_values(market_with(MARKET, parameters, values), parameters), values)


def test_a_factor_is_one_now_and_multiplies_what_there_is():
    (factor,) = parameters = named("fund.lower.factor")
    assert factor.factor and present_values(MARKET, parameters).tolist() == [1.0]
    assert group_entries(market_with(MARKET, parameters, jnp.array([3.0])))[1]["lower"] == -6.0


def test_all_sets_each_group_that_has_the_field_and_no_other():
    moved = group_entries(market_with(MARKET, named("all.lower", "all.scale"), jnp.array([-5.0, 2.0])))
    assert [float(row["lower"]) for row in moved] == [-5.0] * 3
    assert float(moved[0]["scale"]) == 2.0
    assert [sorted(row) for row in moved] == [sorted(row) for row in group_entries(MARKET)]


def test_all_has_a_present_value_only_where_the_groups_agree():
    assert present_values(MARKET, named("all.upper", "all.scale", "all.count.factor")).tolist() == [1.0, 0.5, 1.0]
    with pytest.raises(jm.MarketError, match=r"all\.count: the groups differ in it; write all\.count\.factor"):
        present_values(MARKET, named("all.count"))


def test_a_number_that_is_not_one_is_read_as_it_is():
    broken = jm.Market(MARKET.endowment, MARKET.risk_capacity.at[1].set(jnp.nan), MARKET.count, MARKET.names)
    assert np.isnan(present_values(broken, named("fund.risk_capacity")))


def test_a_stretched_endowment_stretches_places_and_scale_and_leaves_shapes():
    _, _, bank = group_entries(market_with(MARKET, named("bank.endowment.factor"), jnp.array([4.0])))
    assert {name: float(value) for name, value in bank.items()} == {
        "risk_capacity": pytest.approx(0.7),
        "count": 2,
        "a": 2,
        "b": 3,
        "lower": 0,
        "upper": 4,
    }


@pytest.mark.slow
def test_stretching_endowments_scales_money_by_the_square():
    stretched = market_with(MARKET, named("all.endowment.factor"), jnp.array([3.0]))
    small, large = (jm.outcomes(jm.solve(market, 0.5)) for market in (MARKET, stretched))
    np.testing.assert_allclose([large.revenue, large.efficiency], [9 * small.revenue, 9 * small.efficiency], rtol=1e-11)


def test_later_parameters_see_what_earlier_ones_did():
    set_then_double = market_with(MARKET, named("dealer.count", "all.count.factor"), jnp.array([10.0, 2.0]))
    double_then_set = market_with(MARKET, named("all.count.factor", "dealer.count"), jnp.array([2.0, 10.0]))
    assert set_then_double.count.tolist() == [20, 2, 4]
    assert double_then_set.count.tolist() == [10, 2, 4]


def test_a_batch_of_values_makes_a_batch_of_markets():
    values = jnp.array([[1.0, 2.0, 3.0], [0.5, 0.6, 0.7]])
    batch = market_with(MARKET, named("fund.risk_capacity", "dealer.scale"), values)
    assert all(leaf.shape[1:] == (3,) for leaf in jax.tree.leaves(batch))
    for lane in range(3):
        one = market_with(MARKET, named("fund.risk_capacity", "dealer.scale"), values[:, lane])
        assert leaves(jax.tree.map(lambda leaf, k=lane: leaf[:, k], batch)) == leaves(one)


def test_markets_are_made_under_jit_and_differentiated():
    parameters = every_parameter(MARKET)

    @jax.jit
    def capacity(values):
        return market_with(MARKET, parameters, values).total_risk_capacity

    slope = jax.grad(capacity)(present_values(MARKET, parameters))
    expected = {"dealer.risk_capacity": 4, "dealer.count": 0.5, "fund.risk_capacity": 1, "fund.count": 1.5}
    expected |= {"bank.risk_capacity": 2, "bank.count": 0.7}
    assert slope.tolist() == [expected.get(one.name, 0) for one in parameters]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dealer.risk_capacity", 0.0),
        ("dealer.scale", -1.0),
        ("fund.upper", -2.0),
        ("fund.lower", np.inf),
        ("bank.a", np.nan),
        ("bank.count", 1.5),
        ("dealer.count", 0.0),
    ],
)
def test_a_lane_that_is_no_market_is_told_from_its_neighbours(name, value):
    parameters = named(name)
    values = jnp.concatenate([present_values(MARKET, parameters), jnp.array([value])])
    assert valid_market(market_with(MARKET, parameters, values[None])).tolist() == [True, False]


@pytest.mark.parametrize("name", ["", "dealer", "Dealer.loc", ".loc", "dealer.", "dealer.loc.", "group_1.loc", 3])
def test_what_is_not_a_name_is_refused(name):
    with pytest.raises(jm.MarketError, match=r"is not a parameter of this market|no such field"):
        named_parameter(name, MARKET)


def test_a_law_with_an_empty_list_has_batches_that_are_markets():
    """Kinks that a density has not got are a list without a batch."""
    law = jm.Density(lambda z, parameters: -((z / parameters["scale"]) ** 2), {"scale": 0.5}, -1.0, 1.0)
    market = jm.Market.of(jm.Traders(law, 1.0, 5, "dealer"), jm.Traders(law, 2.0, 4, "fund"))
    named = (named_parameter("all.risk_capacity.factor", market),)
    batch = market_with(market, named, jnp.array([[0.5, 1.0, -1.0]]))
    assert all(leaf.shape[-2:] == (2, 3) for leaf in jax.tree.leaves(batch))
    np.testing.assert_array_equal(valid_market(batch), [1, 1, 0])


def test_what_a_market_has_besides_is_named_even_where_it_has_none():
    market = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 3, "dealer"), jm.Traders(jm.Uniform(-1.0, 1.0), 1.0))
    new = market_at(market, {"dealer.welfare_weight": 0.2, "all.outside_gamma": 0.1, "minimum_revenue": 0.05})
    np.testing.assert_array_equal(new.welfare_weight, [0.2, 0.0])
    np.testing.assert_array_equal(new.option.gamma, [0.1, 0.1])
    assert new.minimum_revenue == 0.05
    with pytest.raises(jm.MarketError, match="outside_cost"):
        named_parameter("dealer.outside_cost", market)
    with pytest.raises(jm.MarketError, match="no such market"):
        market_at(market, {"all.outside_gamma": 0.9})


def test_a_plain_market_has_no_parameters_besides():
    market = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 3, "dealer"))
    assert [one.field for one in every_parameter(market)] == ["risk_capacity", "count", "lower", "upper"]
    more = every_parameter(market.with_outside("dealer", jm.OutsideMarket(0.0, 2.0)).earning(0.1))
    assert [one.field for one in more][4:] == ["outside_cost", "outside_price", "outside_reserve", "minimum_revenue"]
