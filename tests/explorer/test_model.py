"""What a page shows of a state is what the library says, and turning a knob compiles nothing."""

import numpy as np
import pytest

import jaxmech as jm
from jaxmech import programs
from jaxmech.auctions.side_payments import payments_by_group
from jaxmech.explorer.knobs import knob_at, roomy
from jaxmech.explorer.model import Model
from jaxmech.explorer.series import curves
from jaxmech.explorer.state import State, state_of
from jaxmech.inputs import MarketError
from jaxmech.market.parameters import market_at

MARKET = jm.Market.of(
    jm.Traders(jm.Uniform(-1.0, 1.2), 0.5, 4, "dealer", outside=jm.OutsideMarket(0.0, 4.0)),
    jm.Traders(jm.TruncatedNormal(0.1, 0.6, -1.0, 1.5), 1.0, 3, "fund"),
)


@pytest.fixture(scope="module")
def model():
    return Model(MARKET)


@pytest.mark.slow
def test_numbers_are_those_of_solve(model):
    state = State("alpha", 0.7, {"dealer.count": 6.0, "fund.scale": 0.8, "dealer.outside_cost": 3.0})
    answer = model.answer(state)
    market = market_at(MARKET, dict(state.values))
    achieved = jm.outcomes(jm.solve(market, 0.7))
    assert answer["certified"] and answer["status"] == "optimal"
    for name in ("revenue", "efficiency", "first_best_surplus"):
        assert answer["numbers"][name] == pytest.approx(float(getattr(achieved, name)), rel=1e-12)
    gains = [group["utility_gain"] for group in answer["numbers"]["groups"]]
    assert gains == pytest.approx(np.asarray(achieved.utility_gain_by_group).tolist(), rel=1e-11)
    assert set(answer["series"]) == {"curves", "frontier", "sensitivity", "outside_cost"}
    assert set(answer["series"]) - {"curves"} < set(answer["sentences"])


@pytest.mark.slow
def test_turning_knobs_compiles_nothing(model):
    model.answer(State())
    before = programs._count["compiled"]
    rng = np.random.default_rng(0)
    for count in (2, 9, 16):
        turned = {"dealer.count": float(count), "fund.risk_capacity": rng.uniform(0.3, 3), "fund.welfare_weight": 0.1}
        answer = model.answer(State("alpha", float(rng.uniform()), turned | {"all.endowment.factor": 1.5}))
        assert answer["certified"]
    model.answer(State("revenue", 0.01))
    assert programs._count["compiled"] == before


@pytest.mark.parametrize("goal", ["revenue", "efficiency"])
def test_targets_are_reached_by_the_optimum(model, goal):
    middle = model.answer(State("alpha", 0.6), ())["numbers"]
    answer = model.answer(State(goal, middle[goal]), ())
    assert answer["certified"]
    for name in ("revenue", "efficiency"):
        assert answer["numbers"][name] == pytest.approx(middle[name], rel=1e-8)


def test_what_cannot_be_is_said_in_words(model):
    infeasible = model.answer(State("revenue", 1e3))
    assert infeasible["status"].startswith("infeasible: the largest revenue of any mechanism")
    assert not infeasible["certified"] and "numbers" not in infeasible
    assert "the frontier has it from" in model.answer(State("efficiency", 1.0))["status"]
    assert "there is no such market" in model.answer(State(values={"fund.lower": 0.25, "fund.upper": 0.25}))["status"]
    assert "no knob of this market" in model.answer(State(values={"import os": 1.0}))["status"]
    weighted = State("efficiency", -1.0, {"fund.welfare_weight": 0.2})
    assert "beside welfare weights" in model.answer(weighted)["status"]


@pytest.mark.parametrize(("goal", "aim"), [("alpha", 0.3), ("revenue", 0.05)])
def test_python_lines_make_the_numbers_on_the_screen(tmp_path, goal, aim):
    path = tmp_path / "market.toml"
    group = 'risk_capacity = 1.0\ncount = 3\nendowment = { law = "uniform", lower = -1.0, upper = 1.0 }\n'
    path.write_text(f'[[traders]]\nname = "a"\n{group}[[traders]]\nname = "b"\n{group}')
    turned = {"a.risk_capacity": 2.0, "minimum_revenue": 0.1}
    answer = Model(jm.Market.from_toml(path)).answer(State(goal, aim, turned), ())
    scope = {}
    exec(answer["python"].replace("market.toml", str(path)), scope)
    assert float(jm.outcomes(scope["mechanism"]).revenue) == pytest.approx(answer["numbers"]["revenue"], rel=1e-12)


def test_links_restore_states_to_the_last_digit(model):
    rng = np.random.default_rng(1)
    state = State().aiming("revenue", rng.normal())
    for name in ("dealer.outside_cost", "fund.loc", "all.risk_capacity.factor"):
        knob = model.knobs[name]
        state = state.turned(knob, rng.uniform(knob.low, knob.high))
    assert state_of(state.link(), model.knobs) == state
    assert state_of("", model.knobs) == State()
    assert state.turned(model.knobs["fund.loc"], 0.1).values.keys() == state.values.keys() - {"fund.loc"}


@pytest.mark.parametrize(
    "link",
    [
        "__import__('os').system('true')",
        "goal=alpha&aim=__import__('os')",
        "goal=alpha&aim=nan",
        "goal=alpha&aim=2",
        "goal=profit",
        "aim=0.5&fund.loc=inf",
        "aim=0.5&fund.loc=1e99",
        "aim=0.5&dealer.count=2.5",
        "aim=0.5&dealer.count=3&dealer.count=4",
        "aim=0.5&market.__class__=1",
        "aim=0.5&<script>alert(1)</script>=1",
        "&".join(f"k{n}=1" for n in range(1000)),
        "aim=0." + "5" * 10_000,
    ],
)
def test_hostile_links_are_refused(model, link):
    with pytest.raises(MarketError):
        state_of(link, model.knobs)


def test_markets_that_do_not_fit_on_a_page_are_refused():
    crowd = jm.Market.of(jm.Traders(jm.Uniform([-1.0] * 9, [1.0] * 9), 1.0))
    with pytest.raises(MarketError, match="9 groups; at most 8"):
        Model(crowd)
    with pytest.raises(MarketError, match="the range is"):
        knob_at(MARKET, "fund.loc", 1.0, 0.0)


def test_payments_by_group_are_those_of_one_trader_of_each():
    mechanism = jm.solve(MARKET, 0.5)
    rule, direct = jm.side_payments(mechanism).by_group(), payments_by_group(mechanism)
    quantity = np.array([[0.3, -0.2], [0.0, 0.1]])
    np.testing.assert_array_equal(*(each.side_payment(np.array([0.1, -0.1]), quantity) for each in (rule, direct)))


def test_marginal_payments_are_slopes_of_payments():
    """By differences: along a curve of types, at one price, dS = ∂S/∂q dq."""
    shown = curves(jm.solve(roomy(MARKET), 0.5), side=400)
    size, paid, slope = (np.asarray(shown[name]) for name in ("size", "paid", "marginal"))
    halves = (slice(1, 399), slice(401, 799))  # within one side of the kink
    for half in halves:
        chord = np.diff(paid[:, half], axis=1) / np.diff(size[:, half], axis=1)
        middle = 0.5 * (slope[:, half][:, 1:] + slope[:, half][:, :-1])
        np.testing.assert_allclose(chord, middle, atol=2e-5)
