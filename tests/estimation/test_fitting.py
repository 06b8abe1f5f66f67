"""Laws fitted to data: what is recovered, how sure one may be of it, and what is refused."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import jaxmech as jm
from jaxmech import endowments as laws
from jaxmech.endowments.binning import clean_samples, histogram_from_samples
from jaxmech.estimation.densities import best_bandwidth
from jaxmech.estimation.diagnostics import effective_observations, repeated_observations, values_of
from jaxmech.estimation.fit import FITTED, fit
from jaxmech.estimation.likelihood_search import triangular_mode
from jaxmech.market.market import _law_from
from marks import cases

ENDS = {"lower": -1.0, "upper": 2.0}
TRUTHS = {
    "truncated_normal": laws.TruncatedNormal(0.3, 0.6, -1.0, 2.0),
    "beta": laws.Beta(2.0, 3.5, -1.0, 2.0),
    "triangular": laws.Triangular(0.3, -1.0, 2.0),
    "truncated_exponential": laws.TruncatedExponential(-0.7, -1.0, 2.0),
    "truncated_laplace": laws.TruncatedLaplace(0.3, 0.4, -1.0, 2.0),
    "truncated_logistic": laws.TruncatedLogistic(0.3, 0.3, -1.0, 2.0),
    "truncated_student": laws.TruncatedStudent(0.3, 0.2, 3.0, -1.0, 2.0),
    "kumaraswamy": laws.Kumaraswamy(2.0, 3.5, -1.0, 2.0),
    "mixture": laws.Mixture(
        (laws.TruncatedNormal(-0.4, 0.3, -1.0, 2.0), laws.TruncatedNormal(0.9, 0.25, -1.0, 2.0)), np.array([0.6, 0.4])
    ),
}


def draws(law, number, seed=0):
    return np.asarray(jax.tree.map(jnp.asarray, law).sample(jax.random.key(seed), (number,)))


class _Recovered(dict):
    def __missing__(self, name):
        return self.setdefault(name, fit(draws(TRUTHS[name], 1000), name, **ENDS))


@pytest.fixture(scope="module")
def recovered():
    """Each family fitted to 1000 draws from one of its laws, once and when it is asked for."""
    return _Recovered()


@pytest.fixture(scope="module")
def two_humps():
    generator = np.random.default_rng(0)
    return np.concatenate([generator.normal(size=300), generator.normal(3, 0.5, 200)])


USUAL = ["truncated_normal", "beta", "triangular", "truncated_laplace", "mixture"]


@pytest.mark.slow
@pytest.mark.parametrize("family", cases(TRUTHS, USUAL))
def test_parameters_are_recovered_within_four_standard_errors(recovered, family):
    truth, found = TRUTHS[family].entries(), recovered[family]
    for name, value in found.parameters.items():
        assert 0 < found.standard_errors[name] < 0.75
        assert abs(value - float(truth[name])) < 4 * found.standard_errors[name], name
    assert not found.notes


@pytest.mark.slow
@pytest.mark.parametrize("family", cases(TRUTHS, USUAL))
def test_the_fit_is_at_least_as_likely_as_the_truth(recovered, family):
    found, truth = recovered[family], jax.tree.map(jnp.asarray, TRUTHS[family])
    assert found.log_likelihood >= np.sum(*values_of(truth, found.sample.values, "log_pdf"))


SCIPY = {
    "truncated_normal": lambda p: scipy.stats.norm(p["loc"], p["scale"]),
    "truncated_logistic": lambda p: scipy.stats.logistic(p["loc"], p["scale"]),
    "truncated_laplace": lambda p: scipy.stats.laplace(p["loc"], p["scale"]),
    "truncated_student": lambda p: scipy.stats.t(p["freedom"], p["loc"], p["scale"]),
    "beta": lambda p: scipy.stats.beta(p["a"], p["b"], -1, 3),
    "triangular": lambda p: scipy.stats.triang((p["mode"] + 1) / 3, -1, 3),
    "truncated_exponential": lambda p: scipy.stats.expon(-2, -1 / p["rate"]),  # of −Z
}


@pytest.mark.parametrize("family", cases(SCIPY, [family for family in USUAL if family in SCIPY]))
def test_log_likelihood_is_that_of_scipy(recovered, family):
    found = recovered[family]
    z, law, ends = found.sample.values, SCIPY[family](found.parameters), (-1.0, 2.0)
    if family == "truncated_exponential":
        z, ends = -z, (-2.0, 1.0)
    expected = np.sum(law.logpdf(z) - np.log(law.cdf(ends[1]) - law.cdf(ends[0])))
    assert found.log_likelihood == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("family", ["truncated_normal", "beta"])
def test_no_other_parameters_are_likelier(recovered, family):
    found = recovered[family]
    z, ends = found.sample.values, (-1.0, 2.0)

    def loss(values):
        law = SCIPY[family](dict(zip(found.parameters, values, strict=True)))
        return -np.sum(law.logpdf(z) - np.log(law.cdf(ends[1]) - law.cdf(ends[0])))

    start = np.array(list(found.parameters.values()))
    best = scipy.optimize.minimize(loss, 1.05 * start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9})
    np.testing.assert_allclose(start, best.x, atol=1e-5)


@pytest.mark.parametrize("family", ["truncated_normal", "beta"])
def test_standard_errors_are_those_of_a_hessian_by_differences(recovered, family):
    found = recovered[family]
    at, z = np.array(list(found.parameters.values())), found.sample.values
    step = 1e-4 * np.diag(np.abs(at))

    def likelihood(values):
        law = SCIPY[family](dict(zip(found.parameters, values, strict=True)))
        return np.sum(law.logpdf(z) - np.log(law.cdf(2.0) - law.cdf(-1.0)))

    def second(i, j):
        ahead, across = (likelihood(at + step[i] + sign * step[j]) for sign in (1, -1))
        back, behind = (likelihood(at - step[i] + sign * step[j]) for sign in (1, -1))
        return (ahead - across - back + behind) / (4 * step[i, i] * step[j, j])

    information = -np.array([[second(i, j) for j in range(2)] for i in range(2)])
    np.testing.assert_allclose(found.covariance, np.linalg.inv(information), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["beta", "truncated_laplace", "mixture"])
def test_standard_errors_agree_with_the_spread_of_resampled_fits(recovered, family):
    found = recovered[family]
    vectors, settled = found.estimate.redrawn(200, np.random.default_rng(1))
    assert settled.all()
    np.testing.assert_allclose(vectors.std(axis=0), list(found.standard_errors.values()), rtol=0.25)


def test_the_mode_of_a_triangular_law_varies_as_its_information_says():
    z = np.sort(np.random.default_rng(0).triangular(0, 0.4, 1, (300, 4000)))
    modes = np.array([triangular_mode(row, np.ones((1, 4000)))[0, 0] for row in z])
    assert modes.std() == pytest.approx(np.sqrt(0.4 * 0.6 / 4000), rel=0.12)
    assert fit(z[0], "triangular", lower=0.0, upper=1.0).standard_errors["mode"] == pytest.approx(modes.std(), rel=0.2)


def test_a_mixture_names_its_components_by_location(recovered):
    found = recovered["mixture"]
    assert found.parameters["laws_0_loc"] < found.parameters["laws_1_loc"]
    assert found.parameters["weights_0"] + found.parameters["weights_1"] == pytest.approx(1, abs=1e-12)
    assert set(found.parameters) < set(found.law.entries())


@pytest.mark.slow
@pytest.mark.parametrize("family", ["truncated_normal", "triangular", "histogram", "smoothed", "uniform"])
def test_a_weight_is_the_value_over_and_over(family):
    z = draws(TRUTHS["beta"], 60, seed=3)
    weights = np.random.default_rng(0).integers(0, 4, z.size)
    weighted, repeated = fit(z, family, weights=weights), fit(np.repeat(z, weights), family)
    assert list(weighted.parameters) == list(repeated.parameters)
    for name in ("log_likelihood", "bic", "ks_statistic", "observations"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), rel=1e-10, nan_ok=True)
    np.testing.assert_allclose(weighted.covariance, repeated.covariance, rtol=1e-8)


def test_missing_values_are_dropped_and_counted():
    z = draws(TRUTHS["beta"], 60)
    found, whole = fit(np.concatenate([[np.nan], z, [np.nan]]), "triangular"), fit(z, "triangular")
    assert (found.missing, whole.missing) == (2, 0)
    assert found.parameters == whole.parameters
    assert "2 missing" in found.report()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["beta", "histogram"])
def test_the_ks_distance_and_its_p_value_are_those_of_scipy(family):
    z = draws(TRUTHS["beta"], 80, seed=2)
    found = fit(z, family, **ENDS)
    there = scipy.stats.kstest(z, lambda at: np.asarray(found.law.cdf(at)))
    assert found.ks_statistic == pytest.approx(there.statistic, rel=1e-12)
    assert found.ks_p_value == pytest.approx(there.pvalue, rel=1e-9)


def test_ends_of_a_uniform_law_are_unbiased_and_their_errors_exact():
    z = np.random.default_rng(0).uniform(-1, 2, (2000, 12))
    found = [fit(row, "uniform") for row in z]
    ends = np.array([list(one.parameters.values()) for one in found])
    covariance = found[0].covariance * (3 / found[0].law.width) ** 2
    np.testing.assert_allclose(ends.mean(axis=0), [-1, 2], atol=4 * np.sqrt(covariance[0, 0] / 2000))
    np.testing.assert_allclose(np.cov(ends.T), covariance, rtol=0.15, atol=0.1 * covariance[0, 0])
    drawn, _ = found[0].estimate.redrawn(4000, np.random.default_rng(0))
    np.testing.assert_allclose(np.cov(drawn.T), found[0].covariance, rtol=0.15, atol=0.1 * found[0].covariance[0, 0])


def test_a_parameter_at_a_bound_has_no_standard_error_and_a_note():
    found = fit(1 - np.linspace(0.02, 0.99, 101) ** 2, "beta", lower=0.0, upper=1.0)  # ever denser towards 1
    assert found.parameters["b"] == 1
    assert np.isnan(found.standard_errors["b"])
    assert found.standard_errors["a"] > 0
    assert any("b is at a bound" in note for note in found.notes)


@pytest.mark.slow
def test_a_smoothed_law_has_the_moments_of_the_data_and_no_hole(two_humps):
    found = fit(two_humps, "smoothed")
    assert float(found.law.mean) == pytest.approx(two_humps.mean(), abs=0.02)
    assert float(found.law.variance) == pytest.approx(two_humps.var() + found.bandwidth**2, rel=0.05)
    assert min(found.parameters.values()) * (found.upper - found.lower) >= 1e-3 * (1 - 1e-12)
    assert np.isnan(found.aic)
    assert f"bandwidth {found.bandwidth:.6g}" in found.report()


def test_the_bandwidth_is_the_likeliest_for_observations_left_out():
    x = np.sort(np.random.default_rng(0).beta(3, 4, 40))
    chosen, counts = best_bandwidth(x, np.ones(40)), np.ones(40)

    def score(bandwidth):
        total = 0.0
        for k in range(40):
            others = np.delete(x, k)
            images = np.concatenate([others, -others, 2 - others])
            total += np.log(np.mean(scipy.stats.norm.pdf(x[k], images, bandwidth)) * 3)
        return total

    assert score(chosen) >= max(score(0.7 * chosen), score(1.4 * chosen))
    assert best_bandwidth(x, 3 * counts) == pytest.approx(chosen, rel=1e-12)


def test_a_histogram_has_the_shares_of_its_bins(two_humps):
    found = fit(two_humps, "histogram", bins=7)
    shares = np.histogram(two_humps, np.asarray(found.law.edges))[0] / two_humps.size
    np.testing.assert_allclose(list(found.parameters.values()), shares)
    np.testing.assert_allclose(list(found.standard_errors.values()), np.sqrt(shares * (1 - shares) / two_humps.size))
    assert found.log_likelihood == pytest.approx(
        np.sum(two_humps.size * shares * np.log(shares / np.diff(found.law.edges)))
    )


def test_empty_bins_are_joined_to_a_neighbour():
    z = np.concatenate([np.linspace(0.05, 0.95, 30), np.linspace(9.05, 9.95, 20)])
    edges, masses = histogram_from_samples(z, 10, lower=0.0, upper=10.0)
    assert all(a < b for a, b in pairwise(edges))
    assert (masses > 0).all()
    assert masses.sum() == pytest.approx(1)
    assert (edges[0], edges[-1]) == (0.0, 10.0)
    np.testing.assert_allclose(masses, [0.6, 0.4])


@pytest.mark.slow
@pytest.mark.parametrize("family", cases(FITTED, [family for family in FITTED if family not in TRUTHS] + USUAL))
def test_every_fit_can_go_into_a_market_and_its_file(family, recovered, two_humps):
    found = recovered[family] if family in TRUTHS else fit(two_humps, family)
    jm.Market.of(jm.Traders(found.law, risk_capacity=0.5, count=4))
    again = _law_from(found.endowment_table(), "here")
    for name, value in found.law.entries().items():
        assert float(again.mapped(lambda _, value, __: jnp.asarray(value)).entries()[name]) == float(value)
    theory, data = found.qq()
    assert theory.shape == data.shape
    assert np.corrcoef(theory, data)[0, 1] > 0.95


@pytest.mark.slow
def test_the_plot_is_written(tmp_path, two_humps):
    found = fit(two_humps, "triangular")
    assert found.plot(tmp_path / "fit.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(jm.MarketError, match="figures are written as"):
        found.plot(tmp_path / "fit.doc")


FEW = [("uniform", {}), ("triangular", {}), ("mixture", {"components": 4}), ("histogram", {}), ("smoothed", {})]


@pytest.fixture
def few_families(monkeypatch):
    """A comparison of families that need no compilation."""
    monkeypatch.setattr("jaxmech.estimation.fit._COMPARED", FEW)


def test_the_best_law_is_that_of_least_aic_and_all_are_listed(few_families):
    z = np.random.default_rng(1).triangular(0, 0.4, 1, 18)
    found = fit(z, "best", lower=-0.1, upper=1.1)
    alone = {family: fit(z, family, lower=-0.1, upper=1.1) for family in ("uniform", "triangular", "histogram")}
    first = min(alone, key=lambda family: alone[family].aic)
    assert (found.family, found.aic, found.parameters) == (first, alone[first].aic, alone[first].parameters)
    rows = {row.label: row for row in found.comparison}
    assert {family: rows[family].aic for family in alone} == {family: one.aic for family, one in alone.items()}
    assert found.comparison[0].label == first
    ahead = found.comparison[1].aic - found.aic
    assert any(note.startswith(f"the least AIC of 5 laws, {ahead:.3g} below that of") for note in found.notes)
    assert np.isnan(rows["smoothed"].aic) and rows["smoothed"].said.startswith("no AIC")
    assert rows["mixture of 4"].said.endswith("a mixture of 4 needs at least 20")
    lines = found.report().splitlines()
    assert any(line.split()[:2] == ["uniform", f"{alone['uniform'].aic:.6g}"] for line in lines)
    assert any("mixture of 4" in line and "needs at least 20" in line for line in lines)


@pytest.mark.exhaustive
def test_the_best_of_all_families_has_the_aic_of_its_own_fit(two_humps):
    found = fit(two_humps, "best")
    assert len(found.comparison) == len(FITTED) + 2
    assert np.isfinite([row.aic for row in found.comparison]).sum() == len(FITTED) + 1
    for row in found.comparison:
        if np.isfinite(row.aic):
            name, _, components = row.label.partition(" of ")
            own = {"components": int(components)} if components else {}
            assert fit(two_humps, name, **own).aic == row.aic
    assert found.family == "mixture" and found.aic == found.comparison[0].aic


def test_a_law_that_the_data_reject_is_told_also_when_it_is_the_best(few_families, monkeypatch):
    z = np.random.default_rng(0).normal(size=400) ** 3
    found = fit(z, "uniform")
    assert any(note.startswith("the law is rejected: at KS distance") for note in found.notes)
    assert found.ks_p_value < 0.01
    monkeypatch.setattr("jaxmech.estimation.fit._COMPARED", FEW[:2])
    assert any(note.startswith("even the best law is rejected") for note in fit(z, "best").notes)
    assert not any("rejected" in note for note in fit(np.random.default_rng(0).uniform(size=400), "uniform").notes)


def autoregression(draws, number, correlation, series=()):
    z = draws.normal(size=(*series, number))
    for k in range(1, number):
        z[..., k] = correlation * z[..., k - 1] + np.sqrt(1 - correlation**2) * z[..., k]
    return z


def test_the_effective_number_is_that_of_the_variance_of_the_mean():
    z = autoregression(np.random.default_rng(0), 400, 0.8, (500,))
    expected = 400 * 0.2 / 1.8
    found = np.array([effective_observations(row) for row in z])
    assert 1 / z.mean(axis=1).var() == pytest.approx(expected, rel=0.15)
    assert np.median(found) == pytest.approx(expected, rel=0.15)
    gaps = z[0].copy()
    gaps[[0, -1]] = np.nan
    assert effective_observations(gaps) == effective_observations(z[0, 1:-1])


def test_independent_and_sorted_observations_count_in_full():
    z = np.random.default_rng(0).normal(size=(200, 100))
    assert sum(effective_observations(row) < 100 for row in z) <= 2
    assert effective_observations(np.sort(z[0])) == effective_observations(np.sort(z[0])[::-1]) == 100
    assert repeated_observations(np.sort(z[0].round())) == 0


def test_the_order_of_a_series_is_told_and_only_of_a_series():
    z = autoregression(np.random.default_rng(1), 300, 0.9)
    found = fit(z, "uniform")
    assert found.effective_observations < 60
    factor = np.sqrt(300 / found.effective_observations)
    assert any(f"standard errors are about {factor:.2g} times" in note for note in found.notes)
    alone = fit(np.random.default_rng(2).permutation(z), "uniform")
    assert alone.standard_errors == pytest.approx(found.standard_errors)
    for other in (alone, fit(z, "uniform", weights=np.ones(300)), fit(z.reshape(2, 150), "uniform")):
        assert not any("resembles" in note for note in other.notes)
        assert other.effective_observations == 300


def test_observations_carried_forward_are_told_from_ties():
    draws = np.random.default_rng(0)
    z = draws.normal(size=300)
    filled = np.where(draws.random(300) < 0.1, np.roll(z, 1), z)
    repeats = int(np.sum(np.diff(filled) == 0))
    assert repeated_observations(filled) == repeats > 0
    assert any(f"{repeats} of 300 observations repeat" in note for note in fit(filled, "uniform").notes)
    for ties in (z.round(), z.clip(-1, 1), (z > 0).astype(float), z):
        assert repeated_observations(ties) == 0


GOOD = np.linspace(-1, 1, 20)
REFUSALS = {
    "samples is empty": ([], {}),
    "all 3 entries are missing": ([np.nan] * 3, {}),
    "samples: 1 are infinite": ([*GOOD, np.inf], {}),
    "not all of them are numbers": (["a", "b"], {}),
    "samples are constant, 2": ([2.0] * 9, {}),
    "4 distinct values; at least 5": ([1, 2, 3, 4, 1, 2, 3, 4], {}),
    "the value 0 carries 67% of the weight": ([*GOOD, *[0.0] * 40], {}),
    "20 entries and weights 2": (GOOD, {"weights": [1, 2]}),
    "-1 is negative": (GOOD, {"weights": [-1] + [1] * 19}),
    "weights are all 0": (GOOD, {"weights": [0] * 20}),
    "some are not finite": (GOOD, {"weights": [np.nan] + [1] * 19}),
    "weights sum to 1: they count observations": (GOOD, {"weights": [0.05] * 20}),
    r"weights sum to 2e\+301: they count observations": (GOOD, {"weights": [1e300] * 20}),
    "lie outside the support": (GOOD, {"lower": 0.0}),
    "lower must lie below upper": (GOOD, {"lower": 3.0, "upper": -3.0}),
    "lower is nan; give a finite number": (GOOD, {"lower": np.nan}),
    "family is 'normal'; choose one of uniform": (GOOD, {"family": "normal"}),
    "some lie on an end of the support": (GOOD, {"family": "beta", "lower": -1.0, "upper": 2.0}),
    "bins is an option of histogram; best has none": (GOOD, {"family": "best", "bins": 3}),
    "bins is an option of histogram; beta has none": (GOOD, {"family": "beta", "bins": 3}),
    "bins is 0; give": (GOOD, {"family": "histogram", "bins": 0}),
    "bandwidth is -1; give": (GOOD, {"family": "smoothed", "bandwidth": -1}),
    "points is 3; give": (GOOD, {"family": "smoothed", "points": 3}),
    "components is 1; give": (GOOD, {"family": "mixture", "components": 1}),
    "a mixture of 5 needs at least 25": (GOOD, {"family": "mixture", "components": 5}),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_what_cannot_be_fitted_is_refused(message):
    samples, options = REFUSALS[message]
    with pytest.raises(jm.MarketError, match=message):
        fit(samples, **options)


@pytest.mark.slow
def test_equal_samples_are_joined_and_weights_summed():
    found = clean_samples([3.0, 1.0, 2.0, 3.0, 4.0, 5.0], [1, 1, 1, 2, 0.5, 1])
    np.testing.assert_array_equal(found.values, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(found.weights, [1, 1, 3, 0.5, 1])
