"""Derivatives of the optimum: closed forms, kinks with both sides, jumps, failures, and random markets."""

import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_gradients import away_from_kinks

import jaxmech as jm
from jaxmech.derivatives.answers import answers
from jaxmech.derivatives.named_outcomes import outcome_rows
from jaxmech.derivatives.sensitivity import MAIN, STATUS, sensitivity
from jaxmech.market.parameters import every_parameter, market_with, present_values
from jaxmech.testing.random_markets import random_alphas, random_markets
from marks import cases

EXAMPLE_1 = jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, count=5, name="trader"))
NUMBERS = np.array([0.4, 0.5, 5.0, -1.0, 1.0])  # α, κ, N, lower, upper


def closed_form(numbers):
    """J, R and A of N traders on U[lower, upper], theory §10; a common mean μ costs Nμ²/(2κ)."""
    alpha, kappa, traders, lower, upper = numbers
    half, middle = 0.5 * (upper - lower), 0.5 * (upper + lower)
    revenue = (traders - 1) * half**2 / (3 * kappa) * alpha / (1 + alpha) ** 2
    held = traders * half**2 / (6 * kappa) * (1 - (1 - 1 / traders) * (1 + 2 * alpha) / (1 + alpha) ** 2)
    efficiency = -held - traders * middle**2 / (2 * kappa)
    return jnp.stack([alpha * revenue + (1 - alpha) * efficiency, revenue, efficiency])


def unequal(*capacity):
    """U[0, 1] twice."""
    return jm.Market.of(jm.Traders(jm.Uniform(0, 1), np.array(capacity)))


def status_of(table, outcome):
    return [STATUS[number] for number in table.status[table.outcomes.index(outcome)]]


def row(table, field, outcome):
    return getattr(table, field)[table.outcomes.index(outcome)]


@pytest.fixture(scope="module")
def example_1():
    return sensitivity(EXAMPLE_1, 0.4, second=True)


@pytest.fixture(scope="module")
def at_budget_weight():
    market = unequal(0.5, 1.5)
    return market, sensitivity(market, float(jm.budget_weight(market)), second=True)


@pytest.mark.slow
def test_first_derivatives_are_those_of_example_1(example_1):
    exact = jax.jacfwd(closed_form)(NUMBERS)
    np.testing.assert_allclose(example_1.derivative[:3], exact, rtol=0, atol=1e-12)
    assert example_1.of("revenue") == pytest.approx(4 * 2 / 3 * 0.6 / 1.4**3, abs=1e-12)
    assert example_1.of("efficiency") == pytest.approx(-4 / 3 * 0.8 / 1.4**3, abs=1e-12)
    assert set(status_of(example_1, "revenue") + status_of(example_1, "efficiency")) == {"smooth"}


def test_second_derivatives_are_those_of_example_1(example_1):
    np.testing.assert_allclose(example_1.second, jax.hessian(closed_form)(NUMBERS), rtol=0, atol=1e-10)
    np.testing.assert_allclose(example_1.second, np.swapaxes(example_1.second, 1, 2), rtol=0, atol=1e-11)


def test_elasticities_are_the_powers_of_the_closed_form(example_1):
    """R ∝ (N − 1)(upper − lower)²/κ; a percent of an end is one of the support's width."""
    expected = [0.6 / 1.4 / 0.4, -1, 5 / 4, -2, 2]  # α's unit is 1
    np.testing.assert_allclose(row(example_1, "elasticity", "revenue"), expected, rtol=1e-11)


def test_the_mechanism_adds_nothing_to_the_objective_and_trades_revenue_for_efficiency(example_1):
    """Envelope theorem: α dR + (1 − α) dA = 0 for what the change of the mechanism does."""
    objective, revenue, efficiency = example_1.through_mechanism
    np.testing.assert_allclose(objective, 0, atol=1e-12)
    np.testing.assert_allclose(0.4 * revenue + 0.6 * efficiency, 0, atol=1e-12)
    assert abs(revenue[0]) > 0.5 and abs(revenue[3]) > 0.2


def test_the_table_has_a_row_for_each_outcome_and_parameter(example_1):
    table = example_1.to_dataframe()
    assert table.shape == (len(example_1.outcomes) * 5, 9)
    assert [*table.columns] == [
        *("outcome", "parameter", "value", "at", "derivative", "left", "right", "elasticity", "status")
    ]
    one = table.set_index(["outcome", "parameter"]).loc[("revenue", "trader.upper")]
    assert one["derivative"] == example_1.of("revenue", "trader.upper")
    assert (one["at"], one["status"]) == (1.0, "smooth")
    assert "trader.risk_capacity" in example_1._repr_html_()


def test_the_table_in_print_names_every_parameter(example_1):
    lines = str(example_1).splitlines()
    assert [line.split()[0] for line in lines[3:]] == [*example_1.parameters]
    assert lines[3].split() == ["alpha", "0.4", "0.58309", "1.0714", "-0.388727", "0.8791"]


def test_an_unknown_name_is_refused_with_those_that_exist(example_1):
    with pytest.raises(KeyError, match=r"'profit' to 'alpha': choose of \('objective'"):
        example_1.of("profit")
    with pytest.raises(KeyError, match=r"'revenue' to 'trader\.loc'"):
        example_1.of("revenue", "trader.loc")


@pytest.mark.slow
def test_at_the_budget_weight_revenue_has_two_sides_and_no_derivative(at_budget_weight):
    """Below w* it stays 0, above it is free; which side of θ is which depends on the sign of dw*/dθ."""
    market, table = at_budget_weight
    revenue = {side: row(table, side, "revenue") for side in ("derivative", "left", "right")}
    assert set(status_of(table, "revenue")) == {"kink"} == set(status_of(table, "efficiency"))
    assert np.all(np.isnan(revenue["derivative"]))
    parameters = every_parameter(market)

    def free(numbers):
        return jm.outcomes(jm.solve_at_weight(market_with(market, parameters, numbers[1:]), numbers[0])).revenue

    numbers = jnp.concatenate([jnp.asarray([table.alpha]), present_values(market, parameters)])
    free = np.asarray(jax.grad(free)(numbers))
    rises = row(table, "derivative", "budget_weight") > 0  # then the budget binds on the right
    np.testing.assert_allclose(np.where(rises, revenue["left"], revenue["right"]), free, rtol=0, atol=2e-6)
    np.testing.assert_allclose(np.where(rises, revenue["right"], revenue["left"]), 0, rtol=0, atol=1e-12)
    assert (revenue["left"][0], rises[0]) == (0, False)
    assert 0 < rises.sum() < rises.size


def test_the_objective_and_the_budget_weight_have_no_kink_at_the_budget_weight(at_budget_weight):
    _, table = at_budget_weight
    assert set(status_of(table, "objective") + status_of(table, "budget_weight")) == {"smooth"}
    np.testing.assert_allclose(table.through_mechanism[0], 0, atol=1e-11)


def test_second_derivatives_are_not_claimed_where_there_is_a_kink(at_budget_weight):
    _, table = at_budget_weight
    assert np.all(np.isnan(table.second[1:]))
    assert "0 | 0.2771" in str(table).splitlines()[3]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_at_the_ends_of_its_range_alpha_has_one_side(alpha):
    table = sensitivity(unequal(0.5, 1.5), alpha)
    assert status_of(table, "revenue")[0] == "end of range"
    outer, inner = (table.left, table.right) if alpha == 0 else (table.right, table.left)
    assert np.all(np.isnan(outer[:, 0])) and not np.any(np.isnan(inner[:, 0]))
    np.testing.assert_array_equal(inner[:, 0], table.derivative[:, 0])


def test_where_a_binding_interval_reaches_the_end_of_a_support_only_its_ends_have_a_kink():
    """U[0, 1]² with κ = (½, 3/2): below α = (√13 − 3)/2 the second trader always buys in expectation, a = b = 1."""
    table = sensitivity(unequal(0.5, 1.5), (math.sqrt(13) - 3) / 2)
    end = "group_2.binding_lower"
    assert row(table, "value", end) == pytest.approx(1, abs=1e-14)
    kinks = dict(zip(table.parameters, status_of(table, end), strict=True))
    assert set(kinks.values()) == {"kink"}
    assert row(table, "left", end)[0] == 0
    assert row(table, "right", end)[0] < -1
    upper = table.parameters.index("group_2.upper")  # where the interval stays at the end it moves along
    assert row(table, "left", end)[upper] == 1
    for smooth in ("revenue", "efficiency", "group_2.eta", "group_1.eta", "group_1.binding_lower"):
        assert set(status_of(table, smooth)) == {"smooth"}, smooth


def test_the_probability_of_no_trade_jumps_where_two_like_groups_part():
    """Two groups alike share one price in their binding intervals; with any difference they always trade."""
    table = sensitivity(unequal(0.5, 0.5), 0.6)
    assert row(table, "value", "no_trade_probability") == pytest.approx((0.6 / 1.6) ** 2, rel=1e-12)
    status = dict(zip(table.parameters, status_of(table, "no_trade_probability"), strict=True))
    jumps = {name for name in table.parameters if name.endswith(("risk_capacity", "lower", "upper"))}
    assert {name for name, one in status.items() if one == "jump"} == jumps
    assert status["alpha"] == "smooth"
    place = [table.parameters.index(name) for name in jumps]
    for side in ("derivative", "left", "right"):
        assert np.all(np.isnan(row(table, side, "no_trade_probability")[place]))
    assert set(status_of(table, "revenue")) == {"smooth"}


def failing(monkeypatch, lanes):
    """Lets the solver admit failure in some of the 3P lanes, whose numbers look like any others."""
    module = sys.modules["jaxmech.derivatives.sensitivity"]
    real = module._tangents

    def tangents(*arguments):
        values, slopes, solved, *rest = real(*arguments)
        return values, slopes, solved.at[lanes].set(False), *rest

    monkeypatch.setattr(module, "_tangents", tangents)


def test_a_failed_market_shows_no_numbers(monkeypatch):
    failing(monkeypatch, slice(None))
    table = sensitivity(unequal(0.5, 1.5), 0.6, second=True)
    assert {STATUS[number] for number in table.status.ravel()} == {"failed"}
    for part in ("value", "derivative", "left", "right", "direct", "second", "elasticity", "through_mechanism"):
        assert np.all(np.isnan(getattr(table, part))), part
    assert all(line.split()[2:] == ["failed", "failed"] for line in str(table).splitlines()[3:])


def test_a_neighbour_that_fails_spoils_its_own_parameter_only(monkeypatch):
    failing(monkeypatch, 9 + 3)  # below the point, in the direction of the fourth parameter
    table = sensitivity(unequal(0.5, 1.5), 0.6)
    bad = np.arange(9) == 3
    np.testing.assert_array_equal(np.isnan(table.derivative), np.broadcast_to(bad, table.derivative.shape))
    assert not np.any(np.isnan(table.value))


def test_numbers_that_are_no_market_fail_rather_than_answer():
    law = jm.Uniform(np.zeros(2), np.array([1.0, np.nan]))
    table = sensitivity(jm.Market(law, jnp.array([0.5, 1.5]), jnp.ones(2), ("group_1", "group_2")), 0.6)
    assert {STATUS[number] for number in table.status.ravel()} == {"failed"}


@pytest.mark.parametrize(
    ("market", "alpha", "match"),
    [
        (EXAMPLE_1, 1.5, r"alpha is 1\.5; it must lie in \[0, 1\]"),
        (EXAMPLE_1, math.nan, "alpha is nan"),
        (EXAMPLE_1, [0.1, 0.2], r"alpha is \[0\.1, 0\.2\]; give one number"),
        (EXAMPLE_1, "half", "alpha is 'half'; give one number"),
        (EXAMPLE_1, True, "alpha is True; give one number"),
        (random_markets((2, 0, 0), 3, seed=1), 0.5, "market is a batch; ask about one market"),
        (jm.Uniform(0, 1), 0.5, r"market is Uniform; build one with Market\.of"),
    ],
)
def test_questions_that_make_no_sense_are_refused(market, alpha, match):
    with pytest.raises(jm.MarketError, match=match):
        sensitivity(market, alpha)


@pytest.mark.slow
def test_every_outcome_moves_with_every_parameter_as_differences_say():
    """Revenue, efficiency, w*, η, binding intervals and all else, free and with the budget binding."""
    market = jm.Market.of(
        jm.Traders(jm.TruncatedNormal(0.3, 0.6, -1, 1.4), 0.5, 2, "dealer"),
        jm.Traders(jm.TruncatedNormal(-0.2, 0.9, -1.5, 1.0), 1.2, 1, "fund"),
    )
    floor = float(jm.budget_weight(market))
    assert floor > 0.01
    parameters = every_parameter(market)

    @jax.jit
    def values(numbers):
        there = market_with(market, parameters, numbers[1:])
        return outcome_rows(answers(there, numbers[0]), there)

    for alpha in (0.5, 0.5 * floor):
        table = sensitivity(market, alpha)
        assert set(table.status.ravel()) == {0}
        steps = np.diag(1e-3 * table.unit if alpha == 0.5 else np.r_[0.1 * floor, 1e-3 * table.unit[1:]])
        points = table.at[:, None] + np.concatenate([k * steps for k in (-2, -1, 1, 2)], axis=1)
        far_low, low, high, far_high = np.split(np.asarray(values(points)), 4, axis=1)
        central = (8 * (high - low) - (far_high - far_low)) / (12 * np.diag(steps))
        error = np.abs(central - table.derivative) * table.unit / table.scale[:, None]
        assert error.max() <= 1e-7 * max(1, np.abs(table.derivative * table.unit / table.scale[:, None]).max())


@pytest.mark.slow
@pytest.mark.parametrize("batch", cases([1000, 10_000], [1000]))
def test_revenue_and_efficiency_of_random_markets_move_as_differences_say(batch):
    """One pull of ones for all lanes, against differences along a random direction in each."""
    step = 5e-5
    market, alpha = random_markets((0, 2, 0), batch, seed=71), random_alphas(batch, seed=72)
    good = np.asarray(away_from_kinks(market, alpha, margin=3e-3))
    assert good.mean() > 0.4
    generator = np.random.default_rng(73)
    law = market.endowment
    units = jm.Market(type(law)(law.width, law.scale, law.width, law.width), market.risk_capacity, market.count)
    way = jax.tree.map(lambda unit: unit * generator.uniform(-1, 1, unit.shape), (units, jnp.ones(batch)))

    @jax.jit
    def achieved(market, alpha):
        found = answers(market, alpha)
        return jnp.stack([found.revenue, found.efficiency])

    def at(size):
        return achieved(*jax.tree.map(lambda leaf, move: leaf + size * move, (market, alpha), way))

    central = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
    value, pull = jax.vjp(achieved, market, alpha)
    surplus = jm.outcomes(jm.solve(market, alpha)).first_best_surplus
    for k in range(2):
        gradient = pull(jnp.zeros((2, batch)).at[k].set(1.0))
        slope = sum(
            jnp.sum(part * move, axis=0) if part.ndim == 2 else part * move
            for part, move in zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True)
        )
        error = np.abs(slope - central[k]) / (surplus + np.abs(value[k]) + np.abs(central[k]))
        assert np.max(np.asarray(error)[good]) <= 1e-7, (MAIN[1 + k], np.sort(np.asarray(error)[good])[-5:])
