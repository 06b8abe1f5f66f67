"""The exchange gets the same revenue in every state, and what is kept and lost by that."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.auctions.balanced import FORMS
from jaxmech.auctions.clearing import with_deviation
from jaxmech.market.outside import OutsideOption
from marks import cases
from solved_extensions import BY_NAME, by_trader, solved

FEW = {"types": 7, "prices": 5, "quantities": 33}
WAY = OutsideOption([0.2, 0.0, 0.4], [0.3, 0.0, -0.2], [0.0, 0.004, 0.0])
MARKETS = {
    "two": (jm.Uniform([-1.0, 0.0], 1.0), [0.5, 1.5], 1, None),
    "three": (jm.Uniform([-1.0, 0.0, -0.4], [1.0, 1.0, 0.9]), [0.5, 1.5, 0.8], 1, None),
    "nine": (jm.Uniform([-1.0, 0.0, -0.4], [1.0, 1.0, 0.9]), [0.5, 1.5, 0.8], [3, 2, 4], None),
    "nine with options": (jm.Uniform([-1.0, 0.0, -0.4], [1.0, 1.0, 0.9]), [0.5, 1.5, 0.8], [3, 2, 4], WAY),
}
BY_PRICE, BY_BELIEF = FORMS
RULES = [
    ("two", "paper", BY_BELIEF),
    ("three", "natural", BY_PRICE),
    ("nine", "natural", BY_PRICE),
    ("nine with options", "natural", BY_PRICE),
    ("nine with options", "paper", BY_PRICE),
    ("nine with options", "natural", BY_BELIEF),
]


def schedule_of(name, unit="natural"):
    if name in BY_NAME:
        return jm.side_payments(solved(name), unit)
    law, capacity, count, way = MARKETS[name]
    return jm.side_payments(jm.solve(jm.Market.of(jm.Traders(law, capacity, count, outside=way)), 0.6), unit)


def close(value, exact, tolerance=1e-12):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


def states(rule, count=500, stretch=1.0):
    """Endowments drawn, and then stretched about their means."""
    law = rule.market.endowment
    return law.mean + stretch * (law.sample(jax.random.key(1), (count,)) - law.mean)


@pytest.mark.parametrize(("name", "unit", "form"), RULES)
def test_payments_add_up_to_revenue_in_every_state(name, unit, form):
    """Also of types that the schedule does not know."""
    rule = jm.balanced(schedule_of(name, unit), form)
    close(rule.revenue, jm.outcomes(rule.schedule.design).revenue, 1e-14)
    for stretch in (1.0, 3.0):
        close(jnp.sum(rule.payment(states(rule, stretch=stretch)), axis=-1), float(rule.revenue), 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_what_is_paid_for_the_others_offers_is_nothing_on_average(form):
    rule = jm.balanced(schedule_of("nine with options"), form)
    more = rule.compensation(rule.offer(states(rule, 40_000)))
    error = np.std(more, axis=0) / 200
    assert np.all(error > 1e-4) and np.all(np.abs(np.mean(more, axis=0)) < 4 * error)


@pytest.mark.parametrize("form", FORMS)
def test_compensation_does_not_depend_on_a_traders_own_offer(form):
    rule = jm.balanced(schedule_of("nine"), form)
    slopes = jax.jacobian(rule.compensation)(rule.offer(states(rule, 1)[0]))
    close(jnp.diag(slopes), 0, 1e-15)
    assert np.all(np.sum(np.abs(slopes) > 1e-6, axis=1) >= 7)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), [("two", None), ("nine with options", None), ("nine", BY_BELIEF)])
def test_simulated_revenue_has_no_variance(name, form):
    rule = jm.balanced(schedule_of(name), form)
    played = jm.simulate(rule, jax.random.key(0), 4000)
    assert played.revenue == pytest.approx(float(rule.revenue), abs=1e-13)
    assert played.revenue_error < 1e-15
    risky = jm.simulate(rule.schedule, jax.random.key(0), 4000)
    assert risky.revenue_error > 1e-3
    close(played.volume, risky.volume)
    assert np.all(np.abs(played.payment - rule.expected_payment) < 5 * played.payment_error)


@pytest.mark.slow
def test_revenue_is_the_same_when_somebody_deviates():
    rule = jm.balanced(schedule_of("three"))

    def timid(z, price):
        return -0.5 * z - 0.8 * rule.market.risk_capacity[1] * price

    demand = with_deviation(rule, 1, timid)
    played = jm.simulate(rule, jax.random.key(0), 500, demand=demand, prices=(-4.0, 4.0))
    assert played.no_price_share == 0
    assert played.revenue == pytest.approx(float(rule.revenue), abs=1e-10)
    assert played.revenue_error < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["three", "nine with options"])
@pytest.mark.parametrize("unit", ["natural", "paper"])
def test_price_by_price_nobody_gains_by_deviating_and_nobody_stays_away(name, unit):
    found = jm.audit(jm.balanced(schedule_of(name, unit)), **FEW)
    assert found.deviation_gain <= 1e-12 * found.surplus
    assert abs(found.participation_slack) <= 1e-12 * found.surplus and found.ok


@pytest.mark.slow
def test_the_expected_externality_keeps_truth_best_on_average_but_not_at_every_price():
    """A type that offers l expects −(zE X + ½E X²)/κ − E t, whatever its schedule says at single prices."""
    rule = jm.balanced(schedule_of("two"))
    assert rule.form == BY_BELIEF
    z, schedule = states(rule, 7), rule.schedule
    moments, share, kappa = schedule.columns.interim(), schedule.columns.share, rule.market.risk_capacity
    offers = jnp.linspace(-2, 2, 401)[:, None, None]
    bought = -(1 - share) * offers + share * (jnp.sum(moments.mean) - moments.mean)
    square = bought**2 + share**2 * (jnp.sum(moments.variance) - moments.variance)
    gain = -(z * bought + 0.5 * square) / kappa - schedule.expected_payment(offers[..., 0] * jnp.ones(2))[:, None]
    assert np.max(np.max(gain, axis=0) - rule.utility_gain(z)) <= 1e-15
    close(np.max(gain, axis=0), rule.utility_gain(z), 2e-3)  # offers of the grid miss the best by 0.005
    found = jm.audit(rule, **FEW)
    assert found.participation_slack > -1e-15 and found.deviation_gain > 1e-2


def test_a_direct_mechanism_gets_transfers_of_all_reports():
    mechanism = solved("subsidy-partly-used")
    direct = jm.balanced(mechanism)
    assert direct.form == BY_BELIEF
    z = states(direct, 2000)
    close(jnp.sum(direct.payment(z), axis=-1), BY_NAME["subsidy-partly-used"]["revenue"])
    # E[t | z] is the interim transfer: one's own reports held, the other's drawn.
    mine = z.at[:, 0].set(0.2)
    paid = direct.payment(mine)[:, 0]
    expected = mechanism.interim_transfer(mine[0])[0]
    assert np.mean(paid) == pytest.approx(float(expected), abs=4 * float(np.std(paid)) / 2000**0.5)
    close(mechanism.allocation(z), direct.demand(z, direct.clearing_price(z)))


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(BY_NAME, ["all-combined-three-groups", "weight-above-alpha-rebate"]))
def test_the_solved_cases_get_their_revenue_in_every_state_after_rebates(name):
    case, rule = BY_NAME[name], jm.balanced(schedule_of(name))
    close(jnp.sum(rule.payment(states(rule)), axis=-1), case["revenue"])
    close(rule.expected_payment, by_trader(case, "revenue_by_trader"))


def test_bad_arguments_are_named():
    with pytest.raises(jm.MarketError, match="rule is DoubleAuction; give side_payments"):
        jm.balanced(jm.double_auction(schedule_of("three").design.market))
    with pytest.raises(jm.MarketError, match="form is 'groves'; choose one of price by price, expected"):
        jm.balanced(schedule_of("three"), "groves")
    with pytest.raises(jm.MarketError, match="of two traders there is nobody else to charge; choose 'expected ext"):
        jm.balanced(schedule_of("two"), BY_PRICE)
    with pytest.raises(jm.MarketError, match="a direct mechanism has no prices; choose 'expected ext"):
        jm.balanced(schedule_of("three").design, BY_PRICE)
