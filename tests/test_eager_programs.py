"""A public call compiles one program, or the few that are named here, and none for the arithmetic on the host.

Every program that JAX makes of a single operation costs 5 to 10 ms at its first use and holds memory maps.
"""

import jax
import jax.monitoring
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.auctions.audit import best_reply
from jaxmech.auctions.fee_notice import fee_text
from jaxmech.derivatives.frontier import _traced
from jaxmech.reports import tables as report

Z = np.zeros(5)
DRAWS = np.random.default_rng(0).normal(0.0, 0.5, 50).clip(-1.0, 1.0)


def two_groups(law, place=0.0):
    laws = (law(place), law(0.1))
    return jm.Market.of(jm.Traders(laws[0], 1.0, 3, "dealer"), jm.Traders(laws[1], 2.0, 2, "fund"))


def normal(place):
    return jm.TruncatedNormal(place, 0.5, -1.0, 1.0)


def uniform(place):
    return jm.Uniform(place - 1.0, place + 1.0)


@pytest.fixture(scope="module")
def compilations():
    """How many programs a function compiles, asked for by itself."""
    programs, reach = [], "/jax/core/compile/backend_compile_duration"

    def note(event, duration, **_):
        programs.append(duration) if event == reach else None

    def count(function, *arguments, anew=True, **named):
        if anew:
            jax.clear_caches()
        programs.clear()
        result = function(*arguments, **named)
        return len(programs), result

    jax.monitoring.register_event_duration_secs_listener(note)
    yield count
    jax.monitoring.unregister_event_duration_listener(note)


@pytest.fixture(scope="module")
def straight():
    """What the straight line makes of one market."""
    market = two_groups(uniform)
    mechanism = jm.solve(market, 0.5)
    auction, curve = jm.double_auction(market), jm.frontier(market, tolerance=1e-4)
    return {
        "market": market,
        "mechanism": mechanism,
        "rule": jm.side_payments(mechanism),
        "auction": auction,
        "achieved": jm.outcomes(auction),
        "key": jax.random.key(0),
        "fit": jm.fit(DRAWS),
        "schedule": jm.SimpleSchedule.of(market, 0.1, 0.1),
        "curve": curve,
        "revenue": float(np.mean(curve.revenue)),
    }


# What is called, and how many programs it may compile.
CALLS = {
    "market": (0, lambda at: two_groups(normal)),
    "solve": (1, lambda at: jm.solve(at["market"], 0.5)),
    "solve_at_weight": (1, lambda at: jm.solve_at_weight(at["market"], 0.5)),
    "first_best": (1, lambda at: jm.first_best(at["market"])),
    "minimum_subsidy": (1, lambda at: jm.minimum_subsidy(at["market"])),
    "budget_weight": (1, lambda at: jm.budget_weight(at["market"])),
    "answers": (1, lambda at: jm.answers(at["market"], 0.5)),
    "outcomes": (1, lambda at: jm.outcomes(at["mechanism"])),
    "certify": (1, lambda at: jm.certify(at["mechanism"])),
    "binding_interval": (1, lambda at: at["mechanism"].binding_interval),
    "bunching_intervals": (1, lambda at: at["mechanism"].bunching_intervals),
    "budget_multiplier": (1, lambda at: at["mechanism"].budget_multiplier),
    "share": (1, lambda at: at["mechanism"].share),
    "allocation": (1, lambda at: at["mechanism"].allocation(Z)),
    "side_payments": (1, lambda at: jm.side_payments(at["mechanism"])),
    "rule.demand": (1, lambda at: at["rule"].demand(Z, 0.1)),
    "rule.clearing_price": (1, lambda at: at["rule"].clearing_price(Z)),
    "rule.side_payment": (1, lambda at: at["rule"].side_payment(0.1, Z)),
    "rule.spread": (1, lambda at: at["rule"].spread),
    "rule.curvature": (1, lambda at: at["rule"].curvature),
    "rule.by_group": (0, lambda at: at["rule"].by_group()),
    "fee_sheet": (2, lambda at: fee_text(jm.fee_sheet(at["rule"]))),
    "double_auction": (1, lambda at: jm.double_auction(at["market"])),
    "double_auction, an amount": (1, lambda at: jm.double_auction(at["market"], 0.01)),
    "auction.demand": (1, lambda at: at["auction"].demand(Z, 0.1)),
    "auction.allocation": (1, lambda at: at["auction"].allocation(Z)),
    "auction.largest_fee": (1, lambda at: at["auction"].largest_fee),
    "schedule.demand": (1, lambda at: at["schedule"].demand(Z, 0.1)),
    "schedule.side_payment": (1, lambda at: at["schedule"].side_payment(0.1, Z)),
    "schedule.size_charge": (1, lambda at: at["schedule"].size_charge),
    "simulate": (3, lambda at: jm.simulate(at["rule"], at["key"], auctions=2000)),
    "audit": (2, lambda at: jm.audit(at["rule"], types=5, prices=3, quantities=9)),
    "audit.ok": (1, lambda at: at["audit"].ok),
    "best_reply": (1, lambda at: best_reply(at["rule"], 0, 0.1, 0.0)),
    "robustness": (1, lambda at: jm.robustness(at["rule"], two_groups(uniform, 0.05))),
    "mechanism_report": (3, lambda at: report.mechanism_report(at["mechanism"])),
    "comparison": (5, lambda at: report.comparison(at["market"], 0.5)),
    "frontier": (1, lambda at: jm.frontier(at["market"], tolerance=1e-6)),
    "curve.alpha": (1, lambda at: at["curve"].alpha),
    "curve.weight_at": (1, lambda at: at["curve"].weight_at(revenue=at["revenue"])),
    "curve.efficiency_at": (1, lambda at: at["curve"].efficiency_at(at["revenue"])),
    "curve.gap": (1, lambda at: at["curve"].gap(at["achieved"])),
    "curve.mechanism_at": (2, lambda at: at["curve"].mechanism_at(revenue=at["revenue"])),
    "curve.mechanism_at, a rate": (2, lambda at: at["curve"].mechanism_at(exchange_rate=1.0)),
    "curve.shift": (1, lambda at: at["curve"].shift("dealer.risk_capacity")),
    # The search, its parameters with their slopes, and the law at the observations; for groups of any size up to 1024.
    "fit": (3, lambda at: [jm.fit(DRAWS[:number]) for number in (20, 50)]),
    # The markets with their moves, and the answers with theirs.
    "answer_bands": (2, lambda at: jm.answer_bands({"dealer": at["fit"]}, at["market"], 0.5)),
    "fit.report": (1, lambda at: at["fit"].report()),
    "sensitivity": (5, lambda at: jm.sensitivity(at["market"], 0.5)),
}
SLOW = {
    "simple_schedule": (1, lambda at: jm.simple_schedule(at["market"], 0.5)),
    "calibrate": (6, lambda at: calibrated(at["market"])),
}


def calibrated(market):
    return jm.calibrate(market, {"dealer.risk_capacity": (0.5, 2.0)}, {"revenue": 0.2}, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_a_call_compiles_its_own_programs_and_no_others(call, compilations, straight):
    most, function = CALLS[call]
    if call == "audit.ok":
        straight["audit"] = jm.audit(straight["rule"], types=5, prices=3, quantities=9)
    assert compilations(function, straight)[0] <= most
    assert compilations(function, straight, anew=False)[0] == 0, "compiled again by the same call"


@pytest.mark.slow
def test_bands_of_other_data_and_supports_compile_nothing(compilations):
    def bands(data, method, anew):
        funds = jm.fit(data, "truncated_normal"), jm.fit(data, "uniform", lower=-2.0), jm.fit(data, "histogram", bins=4)
        fits = dict(zip("abc", funds, strict=True))
        market = jm.Market.of(*(jm.Traders(found.law, 1.0, 2, name) for name, found in fits.items()))
        return compilations(jm.answer_bands, fits, market, 0.5, method=method, draws=10, anew=anew)[0]

    draws = np.random.default_rng(0).uniform(-1.0, 1.0, (2, 40))
    for method in ("delta", "bootstrap"):
        assert bands(draws[0], method, anew=True) > 0
        assert bands(1.1 * draws[1], method, anew=False) == 0


@pytest.mark.slow
@pytest.mark.parametrize("call", SLOW)
def test_a_search_compiles_its_own_programs_and_no_others(call, compilations, straight):
    most, function = SLOW[call]
    assert compilations(function, straight)[0] <= most
    assert compilations(function, straight, anew=False)[0] == 0, "compiled again by the same call"


def test_a_batch_is_traced_by_one_program():
    markets = jax.tree.map(lambda *leaves: np.stack(leaves, axis=-1), *[two_groups(uniform, k / 10) for k in (0, 1)])
    jax.clear_caches()  # lest they are cleared on the way, after many other tests
    jm.frontier(markets, tolerance=1e-3)
    assert _traced.programs() == 1


@pytest.mark.slow
def test_what_is_asked_of_numpy_is_the_same_inside_jit():
    market = two_groups(uniform)

    @jax.jit
    def traced(alpha):
        mechanism = jm.solve(market, alpha)
        rule = jm.side_payments(mechanism)
        return mechanism.binding_interval, rule.participation_fee, rule.spread, rule.demand(Z, 0.1), rule.curvature

    mechanism = jm.solve(market, 0.5)
    rule = jm.side_payments(mechanism)
    eager = mechanism.binding_interval, rule.participation_fee, rule.spread, rule.demand(Z, 0.1), rule.curvature
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12), traced(0.5), eager)
    assert np.isfinite(jax.grad(lambda alpha: jm.side_payments(jm.solve(market, alpha)).spread.sum())(0.5))
