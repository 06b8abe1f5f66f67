"""Slips in the paper's printed formulas. Each test codes the printed form literally, shows that it fails by a margin
anybody can see, and shows that the corrected form holds. The letters are the paper's: a = Z_ia, b = Z_ib."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm

NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)
ROUNDING, VISIBLE = 1e-12, 3e-3


def integral(function, lower, upper):
    """∫ of a function of type over [lower, upper], one interval a group; both shape (G,)."""
    z = lower + 0.5 * (upper - lower) * (NODES[:, None] + 1)
    return 0.5 * (upper - lower) * (WEIGHTS @ np.asarray(function(z)))


def integral_by_pieces(function, mechanism):
    """∫ over the support, split at the kinks a and b."""
    law, (a, b) = mechanism.market.endowment, ends(mechanism)
    pieces = [(law.lower, a), (a, b), (b, law.upper)]
    return sum(integral(function, np.asarray(low), np.asarray(high)) for low, high in pieces)


def ends(mechanism):
    return np.asarray(mechanism.binding_interval).T


def example_1(traders=5):
    return jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, traders))


def lopsided():
    """First best loses money here, so that λ > 0 at α = 0."""
    return jm.Market.of(jm.Traders(jm.Uniform(0, 1), [0.5, 1.5]))


def shifted():
    """Two different laws on supports that do not start at 0 or −1."""
    normal = jm.Traders(jm.TruncatedNormal(0.9, 0.5, 0.25, 1.75), 0.7)
    return jm.Market.of(normal, jm.Traders(jm.Uniform(0.5, 1.5), 0.8))


# E1: the virtual value under (12), and with it (14)–(18).


def virtual_value(z, mechanism, type_term):
    """type_term(z) − (Ω − (α + λ) F)/((1 + λ) f)."""
    law, lam = mechanism.market.endowment, mechanism.budget_multiplier
    pressure = mechanism.participation_multiplier(z) - (mechanism.alpha + lam) * law.cdf(z)
    return type_term(z) - pressure / ((1 + lam) * law.pdf(z))


def printed_virtual_value(z, mechanism):
    return virtual_value(z, mechanism, lambda z: z / (1 + mechanism.budget_multiplier))


def right_virtual_value(z, mechanism):
    return virtual_value(z, mechanism, lambda z: z)


def allocation(virtual, mechanism):
    """Eq. (12), one trader a group."""
    kappa = mechanism.market.risk_capacity
    return -virtual + kappa / kappa.sum() * virtual.sum(axis=-1, keepdims=True)


def lagrangian_integrand(z, bought, mechanism):
    """Eq. (11) at the types z, with Ω(h) = α + λ, so that the utility of the lowest type drops out."""
    law, kappa, lam = mechanism.market.endowment, mechanism.market.risk_capacity, mechanism.budget_multiplier
    top = mechanism.alpha + lam
    rent = (top * (1 - law.cdf(z)) + mechanism.participation_multiplier(z) - top) / law.pdf(z)
    gain = -(z * (1 + lam) - rent) * bought / kappa - (1 + lam) * bought**2 / (2 * kappa)
    return gain.sum(axis=-1)


def random_types(market, seed=0, draws=500):
    law = market.endowment
    share = np.random.default_rng(seed).uniform(size=(draws, market.groups))
    return jnp.asarray(law.lower + share * (law.upper - law.lower))


def test_virtual_value_maximises_the_lagrangian_only_if_1_plus_lambda_spares_the_type():
    """Under (12) the paper prints V = (z − (Ω − (α+λ)F)/f)/(1+λ); right is V = z − (Ω − (α+λ)F)/((1+λ)f)."""
    mechanism = jm.solve(lopsided(), 0.0)
    assert float(mechanism.budget_multiplier) > 0.19
    z = random_types(mechanism.market)
    right = allocation(right_virtual_value(z, mechanism), mechanism)
    printed = allocation(printed_virtual_value(z, mechanism), mechanism)
    lost = lagrangian_integrand(z, right, mechanism) - lagrangian_integrand(z, printed, mechanism)
    assert float(lost.min()) >= -ROUNDING
    assert float(lost.mean()) > VISIBLE
    around = right + jnp.asarray([1.0, -1.0]) * 1e-3  # stationary: either move along the clearing line loses
    assert np.all(lagrangian_integrand(z, around, mechanism) < lagrangian_integrand(z, right, mechanism))


def test_virtual_value_is_the_clipped_virtual_type_only_in_the_right_form():
    """Eq. (15) prints η = (z − (Ω − (α+λ)F)/f)/(1+λ) on [a, b]; right is η = z − (Ω − (α+λ)F)/((1+λ)f)."""
    mechanism = jm.solve(lopsided(), 0.0)
    z = random_types(mechanism.market)
    right = right_virtual_value(z, mechanism)
    np.testing.assert_allclose(right, mechanism.virtual_type(z), rtol=0, atol=1e-11)
    assert np.abs(printed_virtual_value(z, mechanism) - right).max() > 0.1


# E2: Eq. (14) and (29).


def expected_virtual_value(mechanism, through_b):
    """(1/(1+λ)) (−∫_a^b Ω) + (1 − w) E Z + w · through_b, the summand of (14) with E1 corrected."""
    a, b = ends(mechanism)
    binding = integral(mechanism.participation_multiplier, a, b) / (1 + mechanism.budget_multiplier)
    w = mechanism.weight
    return -binding + (1 - w) * mechanism.market.endowment.mean + w * through_b


def printed_expected_virtual_value(mechanism):
    return expected_virtual_value(mechanism, ends(mechanism)[1] - mechanism.market.endowment.lower)


def right_expected_virtual_value(mechanism):
    return expected_virtual_value(mechanism, ends(mechanism)[1])


def expected_virtual_type(mechanism):
    law = mechanism.market.endowment
    return integral_by_pieces(lambda z: mechanism.virtual_type(z) * law.pdf(z), mechanism)


@pytest.mark.slow
@pytest.mark.parametrize(("market", "alpha"), [(shifted, 0.6), (shifted, 1.0), (shifted, 0.0), (example_1, 1.0)])
def test_expected_virtual_value_takes_b_itself_not_b_minus_the_lower_end(market, alpha):
    """(14) and (29) print + (α+λ)(Z_jb − l); right is + (α+λ) Z_jb, since ∫F = h − E Z."""
    mechanism = jm.solve(market(), alpha)
    exact = expected_virtual_type(mechanism)
    np.testing.assert_allclose(right_expected_virtual_value(mechanism), exact, rtol=0, atol=1e-11)
    off = printed_expected_virtual_value(mechanism) - exact
    np.testing.assert_allclose(off, -mechanism.weight * mechanism.market.endowment.lower, rtol=0, atol=1e-11)


def test_expected_virtual_value_of_example_1_is_zero_and_one_as_printed():
    """(14) prints + (α+λ)(Z_jb − l); with it E V = 1 in Example 1 at α = 1, where symmetry demands 0."""
    mechanism = jm.solve(example_1(), 1.0)
    np.testing.assert_allclose(right_expected_virtual_value(mechanism), 0.0, atol=ROUNDING)
    np.testing.assert_allclose(printed_expected_virtual_value(mechanism), 1.0, atol=ROUNDING)


# E3: Eq. (16) and (30).


def conditional_expectation_sides(mechanism, first):
    """Both sides of (16) divided by 1 + λ, E1 corrected, its first terms given."""
    law, (a, b), w = mechanism.market.endowment, ends(mechanism), mechanism.weight
    left = mechanism.eta * (law.cdf(b) - law.cdf(a))
    binding = integral(mechanism.participation_multiplier, a, b) / (1 + mechanism.budget_multiplier)
    return left, first - (1 - w) * integral(law.cdf, a, b) - binding


def printed_first_terms(mechanism):
    a, b = ends(mechanism)
    return b - a


def right_first_terms(mechanism):
    law, (a, b) = mechanism.market.endowment, ends(mechanism)
    return b * law.cdf(b) - a * law.cdf(a)


@pytest.mark.parametrize(("market", "alpha"), [(shifted, 0.6), (shifted, 0.0), (example_1, 0.5), (example_1, 1.0)])
def test_conditional_expectation_starts_with_b_cdf_minus_a_cdf(market, alpha):
    """(16) and (30) start with Z_ib − Z_ia; right is Z_ib F(Z_ib) − Z_ia F(Z_ia), from ∫ z f by parts."""
    mechanism = jm.solve(market(), alpha)
    left, right = conditional_expectation_sides(mechanism, right_first_terms(mechanism))
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-11)
    left, printed = conditional_expectation_sides(mechanism, printed_first_terms(mechanism))
    assert np.abs(left - printed).max() > VISIBLE


def printed_uniform_cdf_integral(a, b, lower, upper):
    """The bracket of (30)."""
    return ((b - a) * (b + a) / 2 + b - a) / (upper - lower)


def right_uniform_cdf_integral(a, b, lower, upper):
    return ((b - a) * (b + a) / 2 - lower * (b - a)) / (upper - lower)


def test_conditional_expectation_of_uniform_laws_contains_the_lower_end():
    """(30) prints ∫F over [a, b] with + (Z_ib − Z_ia); right is − l (Z_ib − Z_ia): the same only where l = −1."""
    a, b, lower, upper = 0.7, 1.1, 0.5, 1.5
    exact = integral(lambda z: (z - lower) / (upper - lower), np.array([a]), np.array([b]))[0]
    assert abs(right_uniform_cdf_integral(a, b, lower, upper) - exact) < ROUNDING
    assert printed_uniform_cdf_integral(a, b, lower, upper) - exact > 0.1
    assert printed_uniform_cdf_integral(a, b, -1, 1) == right_uniform_cdf_integral(a, b, -1, 1)


def linear_system_of_example_1(w, through_b, first_terms):
    """η of the symmetric system (27)–(30), λ = 0, U[−1, 1]; through_b and first_terms as functions of (a, b).

    All is linear in η, so that two evaluations of the mismatch find its root.
    """

    def mismatch(eta):
        a, b = (eta - w) / (1 + w), (eta + w) / (1 + w)
        binding = w * through_b(a, b) - eta  # (29), E Z = 0
        cdf_integral = printed_uniform_cdf_integral(a, b, -1, 1)
        return first_terms(a, b) - (1 - w) * cdf_integral - binding - eta * (b - a) / 2  # (30)

    return -mismatch(0.0) / (mismatch(1.0) - mismatch(0.0))


def test_linear_system_of_corollary_1_1_puts_example_1_off_centre_as_printed():
    """(29), (30) print (α+λ)(Z_jb − l) and Z_ib − Z_ia, which gives η = w²(1+w)/(1−w); right is η = 0 by symmetry."""
    w = 0.5
    printed = linear_system_of_example_1(w, lambda a, b: b + 1, lambda a, b: b - a)
    right = linear_system_of_example_1(w, lambda a, b: b, lambda a, b: (b * (b + 1) - a * (a + 1)) / 2)
    assert printed == pytest.approx(w**2 * (1 + w) / (1 - w)) == 0.75
    assert abs(right) < ROUNDING


# E4: Example 1.


def printed_interval(alpha):
    """(Z_ia, Z_ib)."""
    return alpha / (1 + alpha), -alpha / (1 + alpha)


def right_interval(alpha):
    return printed_interval(alpha)[::-1]


def branches(a, b, alpha):
    """Both sides of (18) for U[−1, 1]: virtual value at a from below, at b from above."""
    return a + alpha * (a + 1), b - alpha * (1 - b)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_example_1_interval_is_printed_with_its_ends_swapped(alpha):
    """Example 1 prints Z_ib = −α/(1+α), Z_ia = α/(1+α); right is Z_ia = −α/(1+α), Z_ib = α/(1+α)."""
    a, b = printed_interval(alpha)
    below, above = branches(a, b, alpha)
    assert b < a, "no interval at all"
    assert below - above == pytest.approx(4 * alpha)
    np.testing.assert_allclose(branches(*right_interval(alpha), alpha), [0.0, 0.0], atol=ROUNDING)
    solved = jm.solve(example_1(), alpha).binding_interval[0]
    np.testing.assert_allclose(solved, right_interval(alpha), rtol=0, atol=ROUNDING)


# E5: the clearing price in the proof of Theorem 2.


def demands(virtual, price, mechanism):
    """Eq. (20)."""
    kappa = mechanism.market.risk_capacity
    return -virtual - kappa / kappa.sum() * price


def printed_price(virtual):
    return virtual.sum(axis=-1, keepdims=True)


def right_price(virtual):
    return -virtual.sum(axis=-1, keepdims=True)


def test_clearing_price_is_minus_the_sum_of_virtual_values():
    """The proof of Theorem 2 prints p = Σ V_j; right is p = −Σ V_j: demands fall in V and must sum to zero."""
    mechanism = jm.solve(shifted(), 0.5)
    z = random_types(mechanism.market)
    virtual = mechanism.virtual_type(z)
    at_right, at_printed = (demands(virtual, p(virtual), mechanism) for p in (right_price, printed_price))
    np.testing.assert_allclose(at_right.sum(axis=-1), 0.0, atol=ROUNDING)
    np.testing.assert_allclose(at_right, mechanism.allocation(z), rtol=0, atol=ROUNDING)
    assert np.abs(at_printed.sum(axis=-1)).min() > 1.0


# E6: Proposition 1.


def printed_first_best_breaks_even(market):
    """Means and risk capacities linearly dependent."""
    vectors = np.array([market.endowment.mean, market.risk_capacity])
    return np.linalg.matrix_rank(vectors) < 2


def right_first_best_breaks_even(market):
    """The printed condition under Condition 1; without it the sign of revenue decides."""
    if np.all(jm.condition_1(market)):
        return printed_first_best_breaks_even(market)
    return first_best_revenue(market) >= 0


def first_best_revenue(market):
    """Eq. (5) with X of Lemma 2 and the largest U(l) that (9) allows, by quadrature; uniform laws, counts 1."""
    law, kappa = market.endowment, np.asarray(market.risk_capacity)
    lower, upper, mean = (np.asarray(x) for x in (law.lower, law.upper, law.mean))
    share = kappa / kappa.sum()

    def interim(z):
        return -(1 - share) * z + share * (mean.sum() - mean)

    z = lower + (upper - lower) * (NODES[:, None] + 1) / 2
    chance = WEIGHTS[:, None] / 2
    variance = np.asarray(law.variance)
    square = np.sum(chance * interim(z) ** 2, 0) + share**2 * (variance.sum() - variance)
    neutral = np.clip(share * (mean.sum() - mean) / (1 - share), lower, upper)  # whose gain is the least
    gain_of_lowest = (neutral - lower) * (interim(lower) + interim(neutral)) / 2 / kappa
    virtual = z - (upper - z)
    paid = -np.sum(chance * virtual * interim(z), 0) / kappa - square / (2 * kappa) - gain_of_lowest
    return paid.sum()


def one_sided():
    """A small trader and a large one of the same endowments on [1, 2]: the small one surely sells."""
    return jm.Market.of(jm.Traders(jm.Uniform(1, 2), [10.0, 1.0]))


def test_first_best_can_break_even_with_means_out_of_proportion_where_condition_1_fails():
    """Proposition 1 prints "if and only if" means and risk capacities are proportional; "only if" needs Condition 1."""
    market = one_sided()
    assert not np.any(jm.condition_1(market))
    assert not printed_first_best_breaks_even(market)
    assert right_first_best_breaks_even(market)
    solved = float(jm.outcomes(jm.solve_at_weight(market, 0.0)).revenue)
    assert solved == pytest.approx(first_best_revenue(market), abs=ROUNDING)
    assert solved > 0.1
    assert float(jm.budget_weight(market)) == 0.0


@pytest.mark.parametrize(("mean", "breaks_even"), [(0.0, True), (0.3, False)])
def test_first_best_breaks_even_iff_means_are_proportional_under_condition_1(mean, breaks_even):
    """Proposition 1 with Condition 1 added: right."""
    market = jm.Market.of(jm.Traders(jm.Uniform([-1.0, mean - 1.0], [1.0, mean + 1.0]), [0.5, 0.8]))
    assert np.all(jm.condition_1(market))
    assert printed_first_best_breaks_even(market) == right_first_best_breaks_even(market) == breaks_even
    assert (float(jm.budget_weight(market)) == 0.0) == breaks_even


# E7: the risk aversion behind the holding cost (end of §7).


def certainty_equivalent(position, risk_aversion):
    """−(1/γ) log E exp(−γ z ε) of z units of a standard Gaussian payoff, by Gauss–Hermite quadrature."""
    payoffs, weights = np.polynomial.hermite_e.hermegauss(60)
    expected = np.exp(-risk_aversion * position[:, None] * payoffs) @ weights / np.sqrt(2 * np.pi)
    return -np.log(expected) / risk_aversion


def printed_risk_aversion(kappa):
    return 1 / (2 * kappa)


def right_risk_aversion(kappa):
    return 1 / kappa


@pytest.mark.parametrize("kappa", [0.5, 1.3])
def test_risk_aversion_of_the_models_holding_cost_is_one_over_kappa(kappa):
    """§7 prints the CARA coefficient 1/(2κ); right is 1/κ: holding z costs γz²/2, and the model says z²/(2κ)."""
    z = np.linspace(-1.5, 1.5, 7)
    cost = z**2 / (2 * kappa)
    np.testing.assert_allclose(certainty_equivalent(z, right_risk_aversion(kappa)), -cost, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(certainty_equivalent(z, printed_risk_aversion(kappa)), -cost / 2, rtol=0, atol=ROUNDING)


# E8: Corollary 1.2 under CARA utility.


def printed_cara_transfers(mechanism, types):
    """The right-hand side of (4)."""
    return mechanism.interim_transfer(jnp.linspace(-1, 1, types)[:, None])[:, 0]


def right_cara_transfers(mechanism, types):
    return jm.cara_schedule(mechanism, types).transfer[:, 0]


def cara_utilities(mechanism, transfers):
    """−κ log E exp((z + X(report))²/(2κ²)) − T(report) of every type and report, Example 1."""
    z = jnp.linspace(-1, 1, len(transfers))[:, None]
    return np.asarray(jm.cara_certainty_equivalent(mechanism, z[:, None], z[None])[..., 0] - transfers)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_cara_transfers_are_not_those_of_eq_4(alpha):
    """Corollary 1.2 prints that (4), being deterministic, implements (12) under CARA too. Before trade the purchase is
    random, and E exp((z + X)²/(2κ²)) is not linear in E X²: right are transfers from the gain ∫ −E*[X]/κ."""
    mechanism = jm.solve(example_1(), alpha)
    costs = np.linspace(-1, 1, 49) ** 2
    printed = cara_utilities(mechanism, printed_cara_transfers(mechanism, 49))
    right = cara_utilities(mechanism, right_cara_transfers(mechanism, 49))
    assert np.max(printed.max(axis=1) - np.diag(printed)) > 2e-3, "some type misreports"
    assert np.min(np.diag(printed) + costs) < -0.02, "some type stays away"
    assert np.max(right.max(axis=1) - np.diag(right)) < ROUNDING
    assert 0 <= np.min(np.diag(right) + costs) < 1e-3, "nobody stays away; the least type lies between two of these"
