"""Outside options, welfare weights and targets against the problem of beyond §1 on a grid, which knows neither virtual
types, nor target lines, nor multipliers."""

from typing import NamedTuple

import numpy as np
import pytest
import scipy.stats as st

import jaxmech as jm
from jaxmech.market.outside import OutsideOption
from jaxmech.testing.discretised import Trader, extrapolated, optimum
from jaxmech.testing.irregular_markets import irregular_markets
from jaxmech.testing.random_markets import OK, extended, random_alphas, verdicts
from marks import cases

LARGE = 1e-5  # of the first best's surplus


FEW = [2, 3, 4]  # with a budget that binds and without one


class Drawn(NamedTuple):
    market: jm.Market
    traders: list  # the same for the programme
    alpha: float
    target: float


def drawn_law(draws):
    lower = draws.uniform(-1.3, -0.3)
    upper = lower + draws.uniform(0.8, 2.4)
    kind, width = draws.integers(3), upper - lower
    if kind == 0:
        return jm.Uniform(lower, upper), st.uniform(lower, width)
    if kind == 1:
        loc, scale = lower + width * draws.uniform(-0.2, 1.2), width * draws.uniform(0.2, 1.0)
        ends = (lower - loc) / scale, (upper - loc) / scale
        return jm.TruncatedNormal(loc, scale, lower, upper), st.truncnorm(*ends, loc=loc, scale=scale)
    a, b = np.exp(draws.uniform(0.1, 1.5, 2))
    return jm.Beta(a, b, lower, upper), st.beta(a, b, loc=lower, scale=width)


def drawn(seed):
    """Two or three traders; α, outside options with and without a fair price, weights below and above α, and a target
    between what the designer would earn without one and the most."""
    draws = np.random.default_rng([seed, 77])
    number = int(draws.integers(2, 4))
    laws, capacity = [drawn_law(draws) for _ in range(number)], np.exp(draws.uniform(-0.8, 0.8, number))
    price = -sum(law.mean() for _, law in laws) / capacity.sum()
    alpha, generous = draws.choice([0.0, 1.0, *draws.uniform(0, 1, 2)]), draws.uniform() < 0.4
    gamma = np.where(draws.uniform(size=number) < 0.8, draws.uniform(0, 0.9, number), 0)
    gamma = gamma * (1 - capacity / capacity.sum())
    centre = -capacity * price + draws.choice([0.0, 0.3, 1.0]) * draws.normal(size=number)
    reserve = draws.choice([0.0, 0.02], number)
    welfare = draws.uniform(-0.3, 1.4 if generous else 1.0, number) * (1.0 if generous else alpha)
    together = zip(laws, capacity, welfare, gamma, centre, reserve, strict=True)
    traders, held = [], []
    for (law, frozen), kappa, beta, *option in together:
        option = tuple(map(float, option))
        traders.append(Trader(frozen, float(kappa), float(beta), option))
        held.append(jm.Traders(law, kappa, welfare_weight=beta, outside=OutsideOption(*option)))
    greedy = jm.Market.of(*(jm.Traders(one.endowment, one.risk_capacity, outside=one.outside) for one in held))
    most = jm.outcomes(jm.solve(greedy, 1.0, -np.inf))
    target = float(most.revenue - draws.uniform(0.02, 0.9) * most.first_best_surplus)
    return Drawn(jm.Market.of(*held), traders, float(alpha), target)


@pytest.mark.slow
@pytest.mark.parametrize("seed", cases(range(30), FEW))
def test_extrapolated_programme_agrees(seed):
    given = drawn(seed)
    mechanism = jm.solve(given.market, given.alpha, given.target)
    achieved = jm.outcomes(mechanism)
    assert jm.certify(mechanism).ok
    coarse, fine = (optimum(given.traders, given.alpha, cells, target=given.target) for cells in (60, 120))
    welfare = np.dot([trader.welfare_weight for trader in given.traders], achieved.utility_gain_by_group)
    exact = float(given.alpha * achieved.revenue + (1 - given.alpha) * achieved.efficiency + welfare)
    unit = float(achieved.first_best_surplus)
    assert max(coarse.objective, fine.objective) < exact + 1e-8
    found = extrapolated(coarse, fine)
    assert abs(found.objective - exact) < LARGE * unit
    # Revenue moves at next to no cost, and where nobody's weight is more than 0 at none.
    assert np.all(mechanism.group_weight == 0) or abs(found.revenue - achieved.revenue) < 10 * LARGE * unit


@pytest.mark.exhaustive
def test_laws_that_are_not_regular_but_not_refused_are_solved_too():
    """Where Ω rises and nobody beside the interval is bunched, beyond §16. Peaks are narrow, so cells must be."""
    drawn_market, alone = irregular_markets("normal mixtures", 120, 13)
    given = extended(drawn_market, random_alphas(120, 14), 15)
    verdict, mechanism, _ = verdicts(given)
    option, count, achieved = given.market.outside, np.asarray(drawn_market.count), jm.outcomes(mechanism)
    wanted = (verdict == OK) & np.any(option.steepness > 0, axis=0) & (count.sum(axis=0) <= 4)
    for lane in np.flatnonzero(wanted)[:4]:
        of_lane = lambda part, lane=lane: np.asarray(part)[..., lane]  # noqa: E731
        laws, capacity, number = alone(lane)
        welfare = of_lane(given.market.welfare_weight)
        options = np.stack([of_lane(part) for part in (option.steepness, option.place, option.reserve)], axis=1)
        traders = [
            Trader(laws[g], float(capacity[g]), float(welfare[g]), tuple(map(float, options[g])))
            for g in range(len(laws))
            for _ in range(number[g])
        ]
        parts = given.alpha, given.minimum_revenue, achieved.first_best_surplus
        alpha, target, unit = (float(of_lane(part)) for part in parts)
        revenue, efficiency = float(of_lane(achieved.revenue)), float(of_lane(achieved.efficiency))
        exact = alpha * revenue + (1 - alpha) * efficiency + np.dot(welfare, of_lane(achieved.utility_gain_by_group))
        coarse, fine = (optimum(traders, alpha, cells, target=target) for cells in (96, 192))
        assert fine.objective < exact + 1e-9
        assert abs(extrapolated(coarse, fine).objective - exact) < 1e-4 * unit
