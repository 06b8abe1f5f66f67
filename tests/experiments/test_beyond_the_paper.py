"""The page on outside options, welfare weights and targets for revenue: its numbers, and what its figures show."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from pictures import problems

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "beyond_the_paper.md"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "experiments")
        yield importlib.import_module("beyond_the_paper")


@pytest.fixture(scope="module")
def curves(script):
    return script.curves


def test_every_number_that_is_known_in_closed_form_comes_out(script):
    for claim in script.claims():
        assert abs(claim.ours - claim.known) <= 1e-12, claim


def test_a_wrong_market_power_would_be_seen(script):
    wrong = script.power(script.curves.GAMMAS, traders=6)
    revenue = script.shares(script.curves.example_1_outside()).revenue[:, -1] / 100
    assert script.worst(revenue - wrong / (1 + wrong)) > 1e-3


def test_the_page_shows_these_numbers(script):
    rows = re.findall(r"^\| (§\d+) \| (.*) \| (\S+) \| (\S+) \| \S+ \|$", PAGE.read_text(), re.M)
    shown = [(where, statement, float(known), float(ours)) for where, statement, known, ours in rows]
    known = [
        (*claim[:2], *(pytest.approx(number, rel=1e-9, abs=1e-12) for number in claim[2:])) for claim in script.claims()
    ]
    assert shown == known


@pytest.mark.slow
def test_the_page_shows_what_the_treasury_market_does(script):
    rows = re.findall(r"^\| (§\d+) \| ([^|]*) \| ([^| ]+) ([^|]*) \|$", PAGE.read_text(), re.M)
    shown = [(where, statement, float(value), unit.strip()) for where, statement, value, unit in rows]
    found = [(f.where, f.statement, pytest.approx(f.value, rel=1e-3, abs=1e-12), f.unit) for f in script.findings()]
    assert shown == found


@pytest.mark.slow
def test_a_better_market_outside_takes_the_revenue_and_brings_back_the_gains(script, curves):
    outcomes, *_ = curves.treasury_outside()
    revenue, traders, lost = (part[:-3] for part in script.shares(outcomes))
    assert np.all(np.diff(revenue) < 0) and np.all(np.diff(lost) < 0) and np.all(np.diff(traders, axis=0) > 0)
    assert revenue[-1] < 0.01 and lost[-1] < 0.001
    np.testing.assert_allclose(revenue + np.sum(traders, axis=1) + lost, 100, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [-2, -1])
def test_a_market_outside_changes_only_the_middle_of_the_fee_schedule(curves, depth):
    _, virtual, tax, _ = curves.treasury_outside()
    moved = np.abs(virtual[depth] - virtual[-3]) > 1e-12
    ends = np.diff(moved.astype(int), axis=0)
    assert np.all(np.sum(ends == 1, axis=0) == 1) and np.all(np.sum(ends == -1, axis=0) == 1)
    assert not np.any(moved[[0, -1]])
    np.testing.assert_allclose(np.where(moved, 0.0, tax[depth] - tax[-3]), 0.0, atol=1e-12)


@pytest.mark.slow
def test_the_favoured_gain_more_the_more_they_weigh_and_are_paid_only_above_alpha(script, curves):
    outcomes, rebate = curves.favouring()
    order = np.argsort(curves.WELFARE)
    revenue, traders, _ = (part[order] for part in script.shares(outcomes))
    above, paid = curves.WELFARE[order] > curves.NEUTRAL, np.asarray(rebate)[order]
    assert np.all(np.diff(traders[:, curves.FAVOURED]) > 0)
    assert np.all((paid[:, curves.FAVOURED] > 0) == above) and np.all(np.delete(paid, curves.FAVOURED, axis=1) == 0)
    assert np.all(np.diff(revenue[~above]) < 0)
    np.testing.assert_allclose(revenue[above], 0, atol=1e-12)


@pytest.mark.slow
def test_a_larger_target_costs_more_and_more_until_nothing_earns_it(script, curves):
    outcomes, multiplier, largest = curves.treasury_targets()
    bare = curves.FRACTIONS.size
    target, lost = curves.targets()[:, :bare], script.shares(outcomes).lost[:, :bare]
    slope = np.diff(lost) / np.diff(target)
    assert np.all(slope > 0) and np.all(np.diff(slope) > 0)
    # λ is that slope, a chord's between those at its ends.
    price = np.asarray(multiplier)[:, :bare]
    assert np.all(price[:, :-1] <= slope) and np.all(slope <= price[:, 1:])
    infeasible = curves.targets() > script.shares(curves.treasury_outside()[0]).revenue[-3:, None]
    assert np.array_equal(np.isnan(np.asarray(outcomes.revenue)), infeasible) and np.any(infeasible)
    assert np.array_equal(np.isinf(np.asarray(largest)), ~infeasible)


@pytest.mark.slow
def test_reforms_harm_nobody_and_recover_less_the_more_traders_there_are(script, curves):
    found = curves.treasury_reforms()
    scale = np.asarray(found.before.first_best_surplus)[..., None, None]
    assert np.min(np.asarray(found.gain_after - found.gain_before) / scale) > -1e-12
    before, after = script.shares(found.before), script.shares(found.after)
    recovered = 1 - after.lost / before.lost
    assert np.all(recovered > 0) and np.all(np.diff(recovered[:, :-1]) < 0)
    assert np.all(after.revenue[1] > 0) and script.worst(after.revenue[0]) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("width", [3.4, 7.0])
@pytest.mark.parametrize("name", ["welfare", "targets"])
def test_pictures_of_one_panel_are_readable_in_a_column_and_on_a_page(script, name, width):
    assert problems(script.figures.FIGURES[name](), width) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["example_1", "outside", "reform"])
def test_pictures_of_two_panels_are_readable_on_a_page(script, name):
    assert problems(script.figures.FIGURES[name](), 7.0) == ([], [])
