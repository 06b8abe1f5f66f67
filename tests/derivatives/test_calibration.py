"""Calibration: parameters from outcomes."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.cli.specs import read_calibration
from jaxmech.derivatives.answers import answers
from jaxmech.derivatives.calibration import calibrate
from jaxmech.derivatives.calibration_problem import calibration_problem
from jaxmech.derivatives.competition import least_competition
from jaxmech.derivatives.named_outcomes import outcome_values

STARTS = 8  # one size everywhere, so that each structure is compiled once


def example_1(risk_capacity=0.5, count=5):
    """Symmetric uniform endowments, theory §10."""
    return jm.Market.of(jm.Traders(jm.Uniform(-1, 1), risk_capacity, count, "trader"))


def two_groups(loc=0.3, risk_capacity=0.5):
    law = jm.TruncatedNormal([0.0, loc], [0.5, 0.6], -1, 1)
    return jm.Market.of(jm.Traders(law, [risk_capacity, 0.9], [2, 3], "group"))


def closed_form(risk_capacity, w, traders=5):
    """R and A of Example 1."""
    revenue = (traders - 1) / (3 * risk_capacity) * w / (1 + w) ** 2
    kept = (1 - 1 / traders) * (1 + 2 * w) / (1 + w) ** 2
    return revenue, -traders / (6 * risk_capacity) * (1 - kept)


def outcomes_of(market, alpha, *names):
    values = outcome_values(answers(market, alpha), market)
    return {name: float(values[name]) for name in names}


def fit(market, free, targets=None, **settings):
    return calibrate(market, free, targets, starts=STARTS, progress=False, **{"steps": 60, **settings})


def close(value, exact, tolerance=1e-8):
    np.testing.assert_allclose(value, exact, rtol=tolerance)


KAPPA = {"trader.risk_capacity": (0.05, 5.0, "log")}
ALPHA = {"alpha": (0.01, 1.0)}
LOW_ALPHA = {"alpha": (0.01, 0.44)}  # R and A of Example 1 with five traders are the same at w and 0.2/w


@pytest.mark.slow
def test_risk_capacity_and_alpha_are_recovered_from_the_closed_form():
    revenue, efficiency = closed_form(0.8, 0.35)
    found = fit(example_1(), KAPPA | LOW_ALPHA, {"revenue": revenue, "efficiency": efficiency})
    close(list(found.parameters.values()), [0.8, 0.35])
    assert found.reached and found.rank == 2 and found.not_identified == ()
    assert found.verdict == "targets reached; all parameters identified"
    close(found.market.risk_capacity, [0.8])
    close(found.alpha, 0.35)
    close(found.answers.revenue, revenue)


def test_revenue_and_trade_size_reveal_the_weight_on_revenue():
    market = example_1()
    targets = outcomes_of(market, 0.62, "revenue", "trader.trade_size")
    found = fit(market, ALPHA | {"trader.upper": (0.5, 2.0)}, targets)
    close([found.parameters["alpha"], found.parameters["trader.upper"]], [0.62, 1.0], 1e-6)


@pytest.mark.slow
def test_a_mode_and_a_risk_capacity_are_recovered_in_another_market():
    targets = outcomes_of(two_groups(), 0.5, "revenue", "efficiency", "group_1.trade_size")
    free = {"group_2.loc": (0.0, 0.8), "group_1.risk_capacity": (0.1, 3.0, "log")}
    found = fit(two_groups(0.6, 1.4), free, targets)
    close(list(found.parameters.values()), [0.3, 0.5])


def test_counts_are_recovered_as_real_numbers():
    revenue, _ = closed_form(0.5, 0.5, traders=7.5)
    close(fit(example_1(), {"trader.count": (2, 40)}, {"revenue": revenue}).parameters["trader.count"], 7.5)


def test_targets_out_of_reach_are_said_to_be():
    found = fit(example_1(), {"trader.risk_capacity": (0.5, 5.0)}, {"revenue": 50.0})
    nearest = closed_form(0.5, 0.5)[0]
    assert not found.reached
    assert found.verdict.startswith("targets cannot be reached within the bounds: nearest miss revenue = 0.592592593")
    assert found.at_bounds == ("trader.risk_capacity",) and found.parameters == {"trader.risk_capacity": 0.5}
    close(found.residuals["revenue"], nearest - 50)


def test_a_change_that_no_target_sees_is_named():
    """Shares of the surplus do not depend on the scale of risk capacities."""
    targets = outcomes_of(example_1(), 0.3, "revenue_share", "efficiency_share")
    found = fit(example_1(), ALPHA | {"all.risk_capacity.factor": (0.5, 2.0)}, targets)
    assert found.rank == 1 and found.condition == np.inf
    assert found.not_identified == ("all.risk_capacity.factor",)
    close(found.parameters["alpha"], 0.3)
    assert "but all.risk_capacity.factor not identified: a change of all.risk_capacity.factor" in found.verdict


def test_with_more_parameters_than_targets_the_unseen_change_leaves_the_targets_unchanged():
    target = {"revenue": closed_form(0.5, 0.5)[0]}
    found = fit(example_1(), KAPPA | ALPHA, target)
    assert found.rank == 1 and set(found.not_identified) == {"trader.risk_capacity", "alpha"}
    step = np.array(list(found.unseen_changes[0].values()))
    at = np.array(list(found.parameters.values()))
    rise = [closed_form(*(at + s * 1e-4 * step))[0] for s in (1, -1)]
    seen = [closed_form(*(at + s * 1e-4 * np.abs(step)))[0] for s in (1, -1)]
    assert abs(rise[0] - rise[1]) < 1e-5 * max(abs(seen[0] - seen[1]), 1e-7)


def test_standard_errors_and_correlations_are_those_of_the_closed_form():
    at, errors, step = np.array([0.8, 0.35]), np.array([0.01, 0.02]), 1e-6
    targets = dict(zip(("revenue", "efficiency"), zip(closed_form(*at), errors, strict=True), strict=True))
    found = fit(example_1(), KAPPA | LOW_ALPHA, targets)
    rows = [np.subtract(closed_form(*(at + e)), closed_form(*(at - e))) / (2 * step) for e in step * np.eye(2)]
    covariance = np.linalg.inv(np.stack(rows) @ np.diag(errors**-2) @ np.stack(rows).T)
    close(list(found.standard_errors.values()), np.sqrt(np.diag(covariance)), 1e-6)
    close(found.correlations[0, 1], covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]), 1e-6)


@pytest.mark.slow
def test_standard_errors_are_the_spread_of_refits():
    exact, error = closed_form(0.8, 0.5)[0], 0.003
    draws = exact + error * np.random.default_rng(3).standard_normal(12)
    refits = [fit(example_1(), KAPPA, {"revenue": r}, steps=5).parameters["trader.risk_capacity"] for r in draws]
    found = fit(example_1(), KAPPA, {"revenue": (exact, error)})
    # The fit answers draw by draw, so the spread of these draws is what counts, not that of all draws.
    close(np.std(refits), found.standard_errors["trader.risk_capacity"] * np.std(draws) / error, 0.02)


def test_what_is_not_identified_has_no_standard_error():
    values = outcomes_of(example_1(), 0.3, "revenue_share", "efficiency_share")
    found = fit(
        example_1(), ALPHA | {"all.risk_capacity.factor": (0.5, 2.0)}, {k: (v, 0.01) for k, v in values.items()}
    )
    assert np.isnan(found.standard_errors["all.risk_capacity.factor"]) and found.standard_errors["alpha"] > 0


def test_targets_that_contradict_each_other_count_as_reached_within_two_standard_errors():
    revenue, efficiency = closed_form(0.8, 0.5)
    for miss, reached in ((1.0, True), (8.0, False)):
        targets = {"revenue": (revenue + miss * 0.01, 0.01), "efficiency": (efficiency, 0.01)}
        found = fit(example_1(), KAPPA, targets)
        assert found.reached is reached
        assert ("cannot be reached" in found.verdict) is not reached


def test_two_solutions_are_both_reported():
    """R/A = −8w/(5w² + 2w + 1) with five traders: the same at w and 0.2/w."""
    revenue, efficiency = closed_form(0.8, 0.35)
    found = fit(example_1(), KAPPA | ALPHA, {"revenue": revenue, "efficiency": efficiency})
    close(sorted(solution["alpha"] for solution in found.solutions), [0.35, 0.2 / 0.35])
    assert "several distinct solutions" in found.verdict


def test_mirror_images_of_a_market_are_both_reported_the_market_given_first():
    """Mirror images of one market have the same outcomes."""
    found = fit(two_groups(), {"group_2.loc": (-0.9, 0.8)}, outcomes_of(two_groups(), 0.5, "revenue"))
    close([solution["group_2.loc"] for solution in found.solutions], [0.3, -0.3])
    assert "several distinct solutions: group_2.loc = 0.3; group_2.loc = -0.3" in found.verdict


def test_the_weight_that_maximises_a_weighted_sum_is_that_weight():
    """No mechanism has more 0.4R + 0.6A than the optimum at α = 0.4."""

    def weighted(market, alpha):
        achieved = jm.outcomes(jm.solve(market, alpha))
        return 0.4 * achieved.revenue + 0.6 * achieved.efficiency

    found = fit(example_1(), ALPHA, maximise=weighted)
    close(found.parameters["alpha"], 0.4, 1e-6)
    assert found.reached and found.standard_errors is None and found.rank is None
    close(found.objective, np.dot([0.4, 0.6], closed_form(0.5, 0.4)))


def test_a_maximum_at_a_bound_is_exactly_there():
    found = fit(example_1(), {"alpha": (0.1, 0.7)}, maximise="revenue")
    assert found.parameters == {"alpha": 0.7} and found.at_bounds == ("alpha",) and found.reached
    close(found.objective, closed_form(0.5, 0.7)[0])
    assert found.verdict.endswith("at a bound: alpha")


def test_every_start_stays_within_the_bounds_and_the_first_is_the_market_given():
    found = fit(example_1(), KAPPA | ALPHA, {"revenue": 0.3, "efficiency": -0.5}, alpha=0.4)
    for name, (low, high) in {"trader.risk_capacity": (0.05, 5.0), "alpha": (0.01, 1.0)}.items():
        for when in ("start", "end"):
            assert np.all((found.starts[f"{when}.{name}"] >= low) & (found.starts[f"{when}.{name}"] <= high))
    close([found.starts["start.trader.risk_capacity"][0], found.starts["start.alpha"][0]], [0.5, 0.4])


def test_starts_that_are_no_markets_fail_alone():
    targets = outcomes_of(example_1(), 0.5, "revenue")
    found = fit(example_1(), {"trader.lower": (-3.0, 3.0)}, targets, steps=5)
    failed = found.starts["start.trader.lower"] > 1
    assert 0 < failed.sum() < STARTS
    assert np.all((found.starts["status"] == "failed") == failed)
    close(found.parameters["trader.lower"], -1.0)


def test_a_lane_that_fails_leaves_its_neighbours_untouched():
    problem = calibration_problem(example_1(), {"trader.lower": (-3.0, 3.0)}, {"revenue": 0.3}, 0.5, None)
    t = np.linspace(0.1, 0.5, STARTS)[None]
    broken = t.copy()
    broken[0, 3] = 0.9
    for whole, part in zip(problem.outcomes(t), problem.outcomes(broken), strict=True):
        assert np.all(np.isnan(part[..., 3]))
        np.testing.assert_array_equal(np.delete(whole, 3, -1), np.delete(part, 3, -1))


def test_a_report_is_plain_json_and_the_text_begins_with_the_verdict():
    found = fit(example_1(), KAPPA | ALPHA, {"revenue": (closed_form(0.5, 0.5)[0], 0.1)})
    report = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert report["condition"] is None and report["parameters"] == found.parameters
    assert str(found).startswith(found.verdict)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"free": {}}, "free names no parameter"),
        ({"free": {"trader.risk": (1, 2)}}, "no such field; trader has"),
        ({"free": {"trader.risk_capacity": (2, 1)}}, "bounds of trader.risk_capacity are 2 to 1; the first must lie"),
        ({"free": {"trader.risk_capacity": (0, 1)}}, "they must be above 0"),
        ({"free": {"trader.count": (0.5, 4)}}, "they must be at least 1"),
        ({"free": {"alpha": (0, 1.5)}}, r"they must lie in \[0, 1\]"),
        ({"free": {"trader.lower": (-1, 0.5, "log")}}, "they must be above 0"),
        ({"free": {"alpha": 0.5}}, r"bounds of alpha are 0.5; give \(low, high\)"),
        ({"free": {"alpha": (0, float("nan"))}}, "bounds of alpha"),
        ({"targets": {"profit": 1}}, "'profit' is not an outcome of this market; choose objective, revenue"),
        ({"targets": {"revenue": "much"}}, "targets: revenue is 'much'; give a number"),
        ({"targets": {"revenue": (0.3, 0)}}, "standard error > 0"),
        ({"targets": {"revenue": (0.3, 0.1), "efficiency": 1}}, "efficiency has no standard error; give all of them"),
        ({"targets": {}}, "targets names no outcome"),
        ({"maximise": "revenue"}, "give exactly one of them"),
        ({"targets": None}, "give exactly one of them"),
        ({"targets": None, "maximise": lambda market, alpha: market.count}, "maximise returns .*one number"),
        ({"alpha": 2}, "alpha is 2"),
        ({"starts": 0}, "starts is 0; give a whole number ≥ 1"),
        ({"market": 3}, "market is int"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    settings = {"market": example_1(), "free": ALPHA, "targets": {"revenue": 0.3}} | arguments
    with pytest.raises(jm.MarketError, match=message):
        calibrate(**settings)


def test_bounds_without_any_market_are_refused():
    with pytest.raises(jm.MarketError, match="no start within these bounds"):
        fit(example_1(), {"trader.lower": (2.0, 3.0)}, {"revenue": 0.3}, steps=2)


def test_the_least_competition_for_a_revenue_is_that_of_the_closed_form():
    for target in (0.9, 7.3, 611.0):
        exact = int(np.ceil(target * 3 * 0.5 * 1.5**2 / 0.5)) + 1
        found = least_competition(example_1(), 0.5, "trader", "revenue", target)
        assert found.count == exact and found.monotone
        close([found.value, found.value_below], [closed_form(0.5, 0.5, n)[0] for n in (exact, exact - 1)])


def test_a_target_that_no_number_of_traders_reaches_is_said_to_be_out_of_reach():
    """Among symmetric uniform traders the share lost does not depend on how many they are."""
    found = least_competition(example_1(), 1.0, "trader", "efficiency_share", 0.9)
    assert found.count is None and "does not reach 0.9 with up to 10000 of trader: 0.75 at most" in str(found)


def test_a_target_that_the_fewest_traders_reach_needs_no_more():
    found = least_competition(example_1(), 1.0, "trader", "efficiency_share", 0.7)
    assert found.count == 2 and np.isnan(found.value_below) and "there cannot be fewer" in str(found)


@pytest.mark.slow
def test_where_an_outcome_turns_every_number_of_traders_is_tried():
    """Buyers' first competitors lower the share of revenue, later ones raise it."""

    def share(count):
        law = jm.Uniform([0.0, -1.0], [1.0, 1.0])
        return jm.Market.of(jm.Traders(law, 0.5, [count, 4], "trader"))

    found = least_competition(share(1), 0.5, "trader_1", "revenue_share", 0.436, most=60)
    assert not found.monotone
    close(found.value, outcomes_of(share(found.count), 0.5, "revenue_share")["revenue_share"])
    below = [outcomes_of(share(count), 0.5, "revenue_share")["revenue_share"] for count in range(1, found.count)]
    assert max(below) < 0.436 <= found.value
    assert below[0] > below[1] and found.value_below == pytest.approx(below[-1], rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": "dealer"}, "group 'dealer' is not in this market; choose one of trader"),
        ({"outcome": "profit"}, "'profit' is not an outcome"),
        ({"target": "high"}, "target is 'high'; give a finite number"),
        ({"most": 1}, "most is 1; give a whole number ≥ 2"),
    ],
)
def test_a_competition_that_cannot_be_is_refused(arguments, message):
    settings = {"group": "trader", "outcome": "revenue", "target": 1.0} | arguments
    with pytest.raises(jm.MarketError, match=message):
        least_competition(example_1(), 0.5, **settings)


SPEC = """
market = "market.toml"
alpha = 0.4
starts = 8
steps = 60
[free]
"trader.risk_capacity" = { from = 0.05, to = 5, scale = "log" }
alpha = { from = 0.01, to = 1.0 }
[targets]
revenue = 0.3
efficiency = { value = -0.6, error = 0.01 }
"""
MARKET = """
[[traders]]
name = "trader"
count = 5
risk_capacity = 0.5
endowment = { law = "uniform", lower = -1.0, upper = 1.0 }
"""


def spec_file(folder, text):
    (folder / "market.toml").write_text(MARKET)
    (folder / "spec.toml").write_text(text)
    return folder / "spec.toml"


def test_a_spec_says_what_the_call_says(tmp_path):
    market, free, settings = read_calibration(spec_file(tmp_path, SPEC))
    assert free == {"trader.risk_capacity": (0.05, 5, "log"), "alpha": (0.01, 1.0)}
    targets = {"revenue": 0.3, "efficiency": (-0.6, 0.01)}
    assert settings == {"alpha": 0.4, "starts": 8, "steps": 60, "targets": targets}
    assert jnp.array_equal(market.count, example_1().count)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[free]", "[fre]", "unknown key 'fre'"),
        ("from = 0.05, to", "from = 0.05, upto", "unknown key 'upto'"),
        ("{ from = 0.01, to = 1.0 }", "0.5", r"free: alpha is 0.5; give \{ from = LOW"),
        ('scale = "log"', 'scale = "cubic"', "scale 'cubic' is unknown"),
        ("value = -0.6", "mean = -0.6", "unknown key 'mean'"),
        ("steps = 60", 'steps = "many"', "steps is 'many'; give a whole number"),
        ("steps = 60", 'maximise = "revenue"', "give either a table of targets or maximise"),
        ("alpha = 0.4", 'alpha = "half"', "alpha is 'half'; give a number"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(tmp_path, old, new, message):
    assert old in SPEC
    with pytest.raises(jm.MarketError, match=message):
        read_calibration(spec_file(tmp_path, SPEC.replace(old, new, 1)))


@pytest.mark.slow
def test_a_target_that_no_parameter_moves_identifies_none():
    """The share of the gains from trade that is earned does not depend on the number of traders in Example 1."""
    market = jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, count=2, name="trader"))
    share = float(jm.answers(market, 0.5).revenue / jm.outcomes(jm.first_best(market)).first_best_surplus)
    for target in (share, (share, 0.01)):
        found = jm.calibrate(market, {"trader.count": (2.0, 50.0)}, {"revenue_share": target}, starts=2, steps=5)
        assert found.rank == 0 and found.not_identified == ("trader.count",)


def test_parameters_that_set_the_same_number_are_refused():
    market = jm.Market.of(jm.Traders(jm.Uniform(-1, 1), [0.5, 1.0], name="trader"))
    free = {"trader_1.risk_capacity": (0.1, 0.4), "all.risk_capacity": (0.5, 1.0)}
    with pytest.raises(
        jm.MarketError, match=r"trader_1.risk_capacity and all.risk_capacity set the same number; vary one"
    ):
        jm.calibrate(market, free, {"revenue": 0.1})
