"""What the laws by density, data and mixture refuse: the message names the argument, the traders and the value."""

import re

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import jaxmech as jm
from jaxmech.endowments import (
    Beta,
    Density,
    Histogram,
    Kumaraswamy,
    Mixture,
    PiecewiseLinear,
    Triangular,
    TruncatedExponential,
    TruncatedLaplace,
    TruncatedLogistic,
    TruncatedNormal,
    TruncatedStudent,
    Uniform,
)


def market(law):
    return jm.Market.of(jm.Traders(law, 0.5, 2, "fund"))


def flat(z, parameters):
    return parameters["height"] + 0 * z


def infinite(z, parameters):
    return jnp.where(z > 0.3, jnp.inf, 0.0)


def no_number(z, parameters):
    return jnp.log(z)


def kinked(z, parameters):
    return -8 * jnp.abs(z - 0.123)


def jumping(z, parameters):
    return jnp.where(z < 0.123, 0.0, 2.0)


EDGES, ENDS = [-1.0, 0.0, 1.0], {"lower": -1.0, "upper": 1.0}
UNIFORM = Uniform(-1.0, 1.0)
NOT_RESOLVED = r"endowment of traders 1 \(fund\): its density is not resolved, polynomials miss .* of the probability"

REFUSED = [
    (Histogram(EDGES, [0.0, 1.0]), r"masses of FUND is 0 \(number 1 of them\); it must be > 0; merge an empty bin"),
    (Histogram(EDGES, [1.0, -2.0]), r"masses of FUND is -2 \(number 2 of them\); it must be > 0"),
    (Histogram([0.0, 0.0, 1.0], [1.0, 1.0]), r"edges of FUND is 0 \(number 1 of them\); it must rise from bin to bin"),
    (Histogram([-1.0, 2.0, 1.0], [1.0, 1.0]), r"edges of FUND is 2 \(number 2 of them\); it must rise from bin to bin"),
    (
        Histogram(EDGES, [1.0, 1.0, 1.0]),
        r"endowment of FUND: lengths do not fit together: edges \(3, 1\), masses \(3, 1\)",
    ),
    (Histogram(EDGES, [1.0, np.nan]), r"masses of FUND is nan \(number 2 of them\); it must be a finite number"),
    (Histogram(EDGES, 1.0), r"masses of FUND is 1.0; give a list of numbers"),
    (Histogram(EDGES, "ab"), r"masses of FUND is 'ab'; give a number or an array of numbers"),
    (Histogram(EDGES, ["a", "b"]), r"masses of FUND is \['a', 'b'\]; give a number or an array of numbers"),
    (Histogram(EDGES, [[1.0], [1.0, 2.0]]), r"masses of FUND is .*; give a number or an array of numbers"),
    (Histogram(EDGES, np.ones((2, 3, 4))), r"FUND: fields have shape \(3, 4\); use scalars or \(groups,\)"),
    (Histogram(np.ones((3, 2)), np.ones((2, 3))), r"shapes of FUND do not fit together: edges \(2,\), masses \(3,\)"),
    (PiecewiseLinear([0.0, 1.0, 1.0], [1.0, 1.0, 1.0]), r"knots of FUND is 1 \(number 2 of them\); it must rise"),
    (PiecewiseLinear(EDGES, [1.0, 0.0, 1.0]), r"heights of FUND is .*; it must be > 0 between the ends"),
    (PiecewiseLinear(EDGES, [1.0, -0.5, 1.0]), r"heights of FUND is -0.5 \(number 2 of them\); it must be ≥ 0"),
    (PiecewiseLinear([-1.0, 1.0], [0.0, 0.0]), r"heights of FUND is 0 .*; it must not be 0 twice running"),
    (PiecewiseLinear(EDGES, [1.0, 1.0]), r"endowment of FUND: lengths do not fit together"),
    (PiecewiseLinear(0.0, [1.0, 1.0]), r"knots of FUND is 0.0; give a list of numbers"),
    (
        Mixture((UNIFORM, UNIFORM), [1.0, 0.0]),
        r"weights of FUND is 0 \(number 2 of them\); it must be > 0; leave out a law",
    ),
    (Mixture((UNIFORM, UNIFORM), [-1.0, 2.0]), r"weights of FUND is -1 \(number 1 of them\); it must be > 0"),
    (Mixture((UNIFORM, UNIFORM), [1.0]), r"endowment of FUND: lengths do not fit together"),
    (Mixture((UNIFORM,), [1.0, 1.0]), r"endowment of FUND: lengths do not fit together"),
    (Mixture((UNIFORM, UNIFORM), 0.5), r"weights of FUND is 0.5; give a list of numbers"),
    (Mixture((), []), "FUND"),
    (Mixture((UNIFORM, 3.0), [1.0, 1.0]), "FUND"),
    (Mixture(UNIFORM, [1.0]), "FUND"),
    (Mixture((Uniform(1.0, 0.0), UNIFORM), [1.0, 1.0]), r"laws_0_lower of FUND is 1; it must lie below upper"),
    (Mixture((UNIFORM, TruncatedLaplace(0.0, 0.0, **ENDS)), [1.0, 1.0]), r"laws_1_scale of FUND is 0; it must be > 0"),
    (Mixture((UNIFORM, Histogram(EDGES, [1.0, 0.0])), [1.0, 1.0]), r"laws_1_masses of FUND is 0 \(number 2 of them\)"),
    (Mixture((Uniform(-1.0, 0.0), Uniform(0.5, 1.0)), [1.0, 1.0]), "FUND"),
    (TruncatedLaplace(0.0, 0.0, **ENDS), r"scale of FUND is 0; it must be > 0"),
    (TruncatedLogistic(0.0, -1.0, **ENDS), r"scale of FUND is -1; it must be > 0"),
    (TruncatedStudent(0.0, -1.0, 3.0, **ENDS), r"scale of FUND is -1; it must be > 0"),
    (TruncatedStudent(0.0, 1.0, 0.0, **ENDS), r"freedom of FUND is 0; it must be > 0"),
    (TruncatedExponential(np.inf, **ENDS), r"rate of FUND is inf; it must be a finite number"),
    (Triangular(1.5, **ENDS), r"mode of FUND is 1.5; it must lie in \[lower, upper\]"),
    (Triangular(-1.1, **ENDS), r"mode of FUND is -1.1; it must lie in \[lower, upper\]"),
    (Triangular(0.0, 1.0, -1.0), r"lower of FUND is 1 .*; it must lie below upper"),
    (Kumaraswamy(0.9, 2.0, **ENDS), r"a of FUND is 0.9; it must lie between 1 and 100"),
    (Kumaraswamy(2.0, 101.0, **ENDS), r"b of FUND is 101; it must lie between 1 and 100"),
    (Density(kinked, {}, **ENDS), NOT_RESOLVED),
    (Density(jumping, {}, **ENDS), NOT_RESOLVED),
    (Density(infinite, {}, **ENDS), NOT_RESOLVED),
    (Density(no_number, {}, **ENDS), NOT_RESOLVED),
    (Density(flat, {"height": np.nan}, **ENDS), r"parameters_height of FUND is nan; it must be a finite number"),
    (Density(flat, {"height": "high"}, **ENDS), r"parameters_height of FUND is 'high'; give a number"),
    (Density(flat, {"height": 1.0}, **ENDS, unit=0.0), r"unit of FUND is 0; it must be > 0"),
    (Density(flat, {"height": 1.0}, 1.0, 1.0), r"lower of FUND is 1 \(upper is 1\); it must lie below upper"),
    (Density(flat, {"height": 1.0}, **ENDS, kinks=0.5), r"kinks of FUND is 0.5; give a list of numbers"),
    (Density(flat, {"height": 1.0}, **ENDS, kinks=[np.nan]), r"kinks of FUND is nan .*; it must be a finite number"),
]


@pytest.mark.parametrize(
    ("law", "match"), REFUSED, ids=[f"{k} {type(law).__name__}" for k, (law, _) in enumerate(REFUSED)]
)
def test_a_law_that_cannot_be_is_refused_by_name_and_value(law, match):
    with pytest.raises(jm.MarketError, match=match.replace("FUND", r"traders 1 \(fund\)")):
        market(law)


def test_the_message_names_the_group_and_the_place_within_a_list():
    law = Histogram(EDGES, [[1.0, 1.0], [1.0, 0.0]])
    with pytest.raises(jm.MarketError, match=r"masses of traders 1 \(fund\), group 2 is 0 \(number 2 of them\)"):
        market(law)


@pytest.mark.parametrize("density", [kinked, jumping])
def test_a_kink_that_is_named_is_resolved(density):
    assert np.all(market(Density(density, {}, -1.0, 1.0, kinks=[0.123])).endowment.panels().resolution_error < 1e-12)


FAMILIES = [
    ('{ law = "triangular", mode = 0.2, lower = -1, upper = 1 }', Triangular(0.2, **ENDS)),
    ('{ law = "truncated_exponential", rate = 2, lower = -1, upper = 1 }', TruncatedExponential(2.0, **ENDS)),
    ('{ law = "truncated_laplace", loc = 0, scale = 0.3, lower = -1, upper = 1 }', TruncatedLaplace(0.0, 0.3, **ENDS)),
    (
        '{ law = "truncated_logistic", loc = 0, scale = 0.3, lower = -1, upper = 1 }',
        TruncatedLogistic(0.0, 0.3, **ENDS),
    ),
    (
        '{ law = "truncated_student", loc = 0, scale = 0.3, freedom = 3, lower = -1, upper = 1 }',
        TruncatedStudent(0.0, 0.3, 3.0, **ENDS),
    ),
    ('{ law = "kumaraswamy", a = 2, b = 3, lower = -1, upper = 1 }', Kumaraswamy(2.0, 3.0, **ENDS)),
    ('{ law = "histogram", edges = [-1, 0, 1], masses = [0.2, 0.8] }', Histogram(EDGES, [0.2, 0.8])),
    ('{ law = "piecewise_linear", knots = [-1, 0, 1], heights = [0, 1, 2] }', PiecewiseLinear(EDGES, [0.0, 1.0, 2.0])),
]
NESTED = """{ law = "mixture", weights = [0.5, 0.5], laws = [
    { law = "mixture", weights = [1, 2], laws = [{ law = "uniform", lower = -1, upper = 1 },
      { law = "histogram", edges = [-1, 0, 1], masses = [0.2, 0.8] }] },
    { law = "triangular", mode = 0.2, lower = -1, upper = 1 }] }"""
# TOML 1.0 wants an inline table on one line.
INNER = Mixture((UNIFORM, Histogram(EDGES, [0.2, 0.8])), [1.0, 2.0])
FAMILIES.append((" ".join(NESTED.split()), Mixture((INNER, Triangular(0.2, **ENDS)), [0.5, 0.5])))


def market_from(folder, endowment):
    path = folder / "market.toml"
    path.write_text(f'[[traders]]\nname = "fund"\ncount = 2\nrisk_capacity = 0.5\nendowment = {endowment}\n')
    return jm.Market.from_toml(path)


@pytest.mark.slow
@pytest.mark.parametrize(("text", "law"), FAMILIES, ids=[type(law).__name__ for _, law in FAMILIES])
def test_a_market_file_names_every_family(tmp_path, text, law):
    found, expected = market_from(tmp_path, text), market(law)
    assert found.names == expected.names and type(found.endowment) is type(law)
    for name, number in expected.endowment.entries().items():
        np.testing.assert_array_equal(found.endowment.entries()[name], number, err_msg=name)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (
            '"triangular"',
            '"triangle"',
            r"traders 1 \(fund\): law 2 of the mixture: endowment law 'triangle' is unknown",
        ),
        ("masses", "mass", r"law 1 of the mixture: law 2 of the mixture: endowment: unknown key 'mass'"),
        ("mode = 0.2,", "", r"law 2 of the mixture: endowment: 'mode' is missing"),
        ("weights = [1, 2]", "weights = [1, 0]", r"laws_0_weights of traders 1 \(fund\) is 0 \(number 2 of them\)"),
        ("mode = 0.2", "mode = 2", r"laws_1_mode of traders 1 \(fund\) is 2"),
        ("weights = [1, 2]", 'weights = "even"', r"laws_0_weights of traders 1 \(fund\) is 'even'"),
    ],
)
def test_mistakes_in_a_mixture_of_a_market_file_are_named(tmp_path, old, new, match):
    text = FAMILIES[-1][0]
    assert old in text
    with pytest.raises(jm.MarketError, match=match):
        market_from(tmp_path, text.replace(old, new))


@pytest.mark.parametrize("laws", ["3", "[]", "[3]", '"uniform"', "{}"])
def test_a_mixture_of_no_laws_is_refused_in_a_market_file(tmp_path, laws):
    with pytest.raises(jm.MarketError, match=re.escape("traders 1 (fund)")):
        market_from(tmp_path, f'{{ law = "mixture", weights = [1], laws = {laws} }}')


NUMBERS = st.sampled_from([-1.0, 0.0, 1.0, 0.3, 2.0, 1e-9, 1e9, -50.0, np.nan, np.inf, 1e300, 1e-300, 5e-324])
ODD = st.sampled_from(
    [None, "x", "1", [], [[]], {}, (), True, 3 + 4j, [1.0, None], object(), UNIFORM, np.array("a"), b"1"]
)
NUMBER = st.one_of(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.lists(NUMBERS, min_size=2, max_size=2), ODD)
LISTED = st.one_of(*[st.lists(NUMBERS, min_size=2, max_size=3)] * 3, NUMBERS, ODD)
SORTED = st.one_of(st.lists(NUMBERS, min_size=3, max_size=3, unique=True).map(sorted), LISTED)
LOWER, UPPER = (st.one_of(*[st.just(end)] * 4, NUMBER) for end in (-1.0, 1.0))
SIMPLE = st.one_of(
    st.builds(Uniform, LOWER, UPPER),
    st.builds(TruncatedNormal, NUMBER, NUMBER, LOWER, UPPER),
    st.builds(Beta, NUMBER, NUMBER, LOWER, UPPER),
    st.builds(Triangular, NUMBER, LOWER, UPPER),
    st.builds(TruncatedExponential, NUMBER, LOWER, UPPER),
    st.builds(TruncatedLaplace, NUMBER, NUMBER, LOWER, UPPER),
    st.builds(TruncatedLogistic, NUMBER, NUMBER, LOWER, UPPER),
    st.builds(TruncatedStudent, NUMBER, NUMBER, NUMBER, LOWER, UPPER),
    st.builds(Kumaraswamy, NUMBER, NUMBER, LOWER, UPPER),
    st.builds(Histogram, SORTED, st.one_of(LISTED, st.just([1.0, 2.0]))),
    st.builds(PiecewiseLinear, SORTED, st.one_of(LISTED, st.just([1.0, 2.0, 0.0]))),
    st.builds(Density, st.just(flat), st.one_of(st.builds(lambda n: {"height": n}, NUMBER), ODD), LOWER, UPPER),
)
PARTS = st.one_of(st.builds(Uniform, LOWER, UPPER), st.builds(TruncatedExponential, NUMBER, LOWER, UPPER))
LAWS = st.one_of(SIMPLE, SIMPLE, SIMPLE, st.builds(Mixture, st.one_of(st.tuples(PARTS, PARTS), ODD), LISTED))


def finite(law):
    return all(np.all(np.isfinite(np.asarray(getattr(law, name)))) for name in ("cuts", "values") if hasattr(law, name))


@pytest.mark.slow
@hypothesis.settings(max_examples=400, derandomize=True, deadline=None, database=None)
@hypothesis.given(LAWS)
def test_whatever_is_given_is_a_market_or_a_market_error(law):
    try:
        made = market(law)
    except jm.MarketError:
        return
    assert finite(made.endowment.resolved()), law
