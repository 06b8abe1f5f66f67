"""The checked door: what cannot be a market is refused before anything is compiled, with a remedy in the message."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.arrays import pytree
from jaxmech.endowments import SideBySide

LAW = jm.Uniform(-1.0, 1.0)
BAD_NUMBERS = (np.nan, np.inf, -np.inf)


def traders(law=LAW, risk_capacity=0.5, count=2, name=""):
    return jm.Traders(law, risk_capacity, count, name)


def refused(match, *blocks):
    with pytest.raises(jm.MarketError, match=match):
        jm.Market.of(*blocks)


@pytest.mark.parametrize("bad", BAD_NUMBERS)
@pytest.mark.parametrize("field", ["risk_capacity", "count"])
def test_numbers_of_traders_must_be_finite(field, bad):
    refused(rf"{field} of traders 1 is {bad:g}; it must be a finite number", traders(**{field: bad}))


@pytest.mark.parametrize("bad", BAD_NUMBERS)
@pytest.mark.parametrize(
    ("family", "good"),
    [
        (jm.Uniform, {"lower": -1.0, "upper": 1.0}),
        (jm.TruncatedNormal, {"loc": 0.0, "scale": 1.0, "lower": -1.0, "upper": 1.0}),
        (jm.Beta, {"a": 2.0, "b": 3.0, "lower": -1.0, "upper": 1.0}),
    ],
)
def test_every_field_of_every_law_must_be_finite(family, good, bad):
    for field in good:
        law = family(**(good | {field: bad}))
        refused(
            rf"{field} of traders 2 \(fund\) is {bad:g}; it must be a finite number",
            traders(),
            traders(law, name="fund"),
        )


@pytest.mark.parametrize("bad", [0.0, -0.5])
def test_risk_capacity_must_be_positive(bad):
    refused(rf"risk_capacity of traders 1 is {bad:g}; it must be > 0", traders(risk_capacity=bad))


@pytest.mark.parametrize("bad", [0, -1, 0.5, 2.5])
def test_count_must_be_a_whole_number_of_at_least_one(bad):
    refused(rf"count of traders 1 is {bad:g}; it must be a whole number ≥ 1", traders(count=bad))


def test_a_market_needs_traders():
    refused(r"a market needs traders: Market\.of\(Traders\(")


def test_a_market_needs_two_traders():
    refused("at least two traders, got one; add traders or raise count", traders(count=1))


@pytest.mark.parametrize("lower", [1.0, 2.0])
def test_lower_must_lie_below_upper(lower):
    refused(
        rf"lower of traders 1 is {lower:g} \(upper is 1\); it must lie below upper", traders(jm.Uniform(lower, 1.0))
    )


def test_scale_must_be_positive():
    refused("scale of traders 1 is 0; it must be > 0", traders(jm.TruncatedNormal(0.0, 0.0, -1.0, 1.0)))


@pytest.mark.parametrize("field", ["a", "b"])
@pytest.mark.parametrize("bad", [0.0, -1.0, 301.0])
def test_beta_shapes_must_be_positive_and_at_most_300(field, bad):
    law = jm.Beta(**({"a": 2.0, "b": 2.0, "lower": 0.0, "upper": 1.0} | {field: bad}))
    refused(rf"{field} of traders 1 is {bad:g}; it must be > 0 and at most 300", traders(law))


def test_the_message_names_the_group_within_an_array():
    refused(r"risk_capacity of traders 1 \(fund\), group 2 is -1", traders(risk_capacity=[0.5, -1.0, 1.0], name="fund"))


def test_shapes_must_broadcast():
    bad = traders(jm.Uniform([-1.0, -1.0, -1.0], 1.0), [0.5, 1.0])
    refused(r"shapes of traders 1 do not fit together: .*risk_capacity \(2,\).*use scalars or \(groups,\)", bad)


def test_fields_of_two_dimensions_are_refused():
    refused(r"fields have shape \(2, 3\); use scalars or \(groups,\) and batch", traders(risk_capacity=np.ones((2, 3))))


@pytest.mark.parametrize("bad", [None, 3.0, "uniform", jm.Uniform])
def test_an_endowment_must_be_a_law(bad):
    refused(r"endowment of traders 1 is .*; give a law such as Uniform\(-1, 1\)", traders(bad))


@pytest.mark.parametrize("bad", [LAW, 3.0, None])
def test_arguments_must_be_traders(bad):
    refused(r"argument 2 is .*; Market\.of takes Traders\(", traders(), bad)


@pytest.mark.parametrize("bad", ["five", None, [1.0, "x"]])
@pytest.mark.parametrize("field", ["risk_capacity", "count"])
def test_text_is_no_number(field, bad):
    refused(rf"{field} of traders 1 is .*; give a number", traders(**{field: bad}))


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("all", r"name of traders 2 is 'all', which means every group .*; call it 'all traders'"),
        ("a\nb", r"name of traders 2 is 'a\\nb'; it must be one line of text: call it 'a b'"),
        ("a\x85", r"is 'a\\x85'; .* call it 'a'"),
        ("\0", r"is '\\x00'; .* call it 'traders'"),
        ("b\ud800", r"is 'b\\ud800'; .* call it 'b'"),
    ],
)
def test_names_that_nothing_could_carry_are_refused_with_another(name, match):
    refused(match, traders(), traders(name=name))


def test_all_of_several_groups_is_no_name_of_all():
    assert jm.Market.of(traders(risk_capacity=[0.5, 1.0], name="all")).names == ("all_1", "all_2")


@pytest.mark.parametrize("name", ["a.b", "a\nb"])
def test_numbers_of_a_density_need_names_that_parameters_can_have(name):
    law = jm.Density(lambda z, parameters: -(z**2), {name: 1.0}, -1.0, 1.0)
    refused("a number of the law is called 'parameters_a.*; parameters need names of one line, no dots", traders(law))
    law = jm.Density(lambda z, parameters: -(z**2), {1: 1.0}, -1.0, 1.0)
    refused(r"parameters of traders 1 is \{1: 1.0\}; give texts as names", traders(law))


@pytest.mark.parametrize("name", ["count", "risk_capacity", "factor", "endowment"])
def test_numbers_of_a_law_are_not_called_what_parameters_call_others(name):
    odd = type("Odd", (jm.Uniform,), {"__annotations__": {name: jax.Array}, name: 1.0})
    law = pytree(odd)(-1.0, 1.0)
    refused(f"a number of the law is called '{name}'; .* all different and none of endowment, factor", traders(law))


def test_names_must_differ():
    refused("name 'fund' is used by 2 groups; give each group its own", traders(name="fund"), traders(name="fund"))


def test_a_given_name_may_not_be_the_one_an_unnamed_group_gets():
    refused("name 'group_1' is used by 2 groups", traders(), traders(name="group_1"))


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, np.inf])
@pytest.mark.parametrize("solve", [jm.solve, jm.solve_at_weight])
def test_weights_outside_zero_and_one_are_refused(solve, bad):
    with pytest.raises(jm.MarketError, match=rf"(alpha|weight) is {bad:g}; it must lie in \[0, 1\]"):
        solve(jm.Market.of(traders()), bad)


def test_only_markets_are_solved():
    with pytest.raises(jm.MarketError, match=r"market is Traders; build one with Market\.of"):
        jm.solve(traders(), 0.5)


TOML = """
name = "two kinds"
[[traders]]
name = "dealer"
count = 4
risk_capacity = 0.5
endowment = { law = "truncated_normal", loc = 0.1, scale = 0.5, lower = -1.0, upper = 1.0 }
[[traders]]
name = "fund"
risk_capacity = 1.5
endowment = { law = "uniform", lower = -2, upper = 1 }
"""


def from_text(folder, text):
    path = folder / "market.toml"
    path.write_text(text)
    return jm.Market.from_toml(path)


def test_a_market_file_gives_the_market_it_describes(tmp_path):
    market = from_text(tmp_path, TOML)
    normal, uniform = jm.TruncatedNormal(0.1, 0.5, -1.0, 1.0), jm.Uniform(-2.0, 1.0)
    expected = jm.Market.of(jm.Traders(normal, 0.5, 4, "dealer"), jm.Traders(uniform, 1.5, name="fund"))
    assert jax.tree.structure(market) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, market, expected)


def test_a_mark_that_editors_write_before_the_text_is_no_error(tmp_path):
    (tmp_path / "market.toml").write_text(TOML, encoding="utf-8-sig")
    jm.Market.from_toml(tmp_path / "market.toml")


def test_a_missing_market_file_is_named(tmp_path):
    with pytest.raises(jm.MarketError, match=r"none\.toml: no such file; give the path of a market's TOML file"):
        jm.Market.from_toml(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("[[traders]]", "[[traders", "not valid TOML"),
        ('"uniform"', '"unifrom"', r"traders 2 \(fund\): endowment law 'unifrom' is unknown; choose one of uniform"),
        ('"uniform"', "[1]", r"endowment law \[1\] is unknown"),
        ('{ law = "uniform", lower = -2, upper = 1 }', "3", "endowment law 3 is unknown"),
        ('name = "two kinds"', 'nmae = "x"', "unknown key 'nmae'; allowed: .*name, .*traders"),
        ("count = 4", "cuont = 4", r"traders 1 \(dealer\): unknown key 'cuont'; allowed: count, "),
        ("scale", "scael", r"traders 1 \(dealer\): endowment: unknown key 'scael'; allowed: law, "),
        ("risk_capacity = 1.5", "", r"traders 2 \(fund\): 'risk_capacity' is missing"),
        ("scale = 0.5,", "", r"traders 1 \(dealer\): endowment: 'scale' is missing"),
        ("risk_capacity = 1.5", 'risk_capacity = "much"', r"risk_capacity of traders 2 \(fund\) is 'much'"),
        ("lower = -2", "lower = 2", r"lower of traders 2 \(fund\) is 2 \(upper is 1\)"),
    ],
)
def test_mistakes_in_a_market_file_are_named(tmp_path, old, new, match):
    assert old in TOML
    with pytest.raises(jm.MarketError, match=match):
        from_text(tmp_path, TOML.replace(old, new))


@pytest.mark.parametrize("text", ['name = "empty"', "traders = []", "traders = 3"])
def test_a_market_file_needs_traders(tmp_path, text):
    with pytest.raises(jm.MarketError, match=r"no \[\[traders\]\] table; write one for each group"):
        from_text(tmp_path, text)


def test_traders_of_a_market_file_are_tables(tmp_path):
    with pytest.raises(jm.MarketError, match=r"traders 1 is 3; write a \[\[traders\]\] table"):
        from_text(tmp_path, "traders = [3]")


def test_arrays_stand_for_several_groups():
    together = jm.Market.of(traders(jm.Uniform([-1.0, -2.0], 1.0), [0.5, 1.5], 3, "fund"))
    apart = jm.Market.of(
        traders(jm.Uniform(-1.0, 1.0), 0.5, 3, "fund_1"), traders(jm.Uniform(-2.0, 1.0), 1.5, 3, "fund_2")
    )
    assert together.names == apart.names == ("fund_1", "fund_2")
    assert together.groups == 2
    jax.tree.map(np.testing.assert_array_equal, together, apart)


def test_neighbours_of_one_family_are_merged_and_the_order_is_kept():
    normal = jm.TruncatedNormal(0.0, 1.0, -1.0, 1.0)
    laws = [jm.Uniform(-1.0, 1.0), jm.Uniform(-2.0, 1.0), normal, jm.Uniform(-3.0, 1.0)]
    market = jm.Market.of(*(traders(law, 0.5 + k) for k, law in enumerate(laws)))
    assert isinstance(market.endowment, SideBySide)
    assert [(type(law), start, length) for law, start, length in market.laws()] == [
        (jm.Uniform, 0, 2),
        (jm.TruncatedNormal, 2, 1),
        (jm.Uniform, 3, 1),
    ]
    assert market.endowment.lower.tolist() == [-1.0, -2.0, -1.0, -3.0]
    assert market.risk_capacity.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert market.names == ("group_1", "group_2", "group_3", "group_4")
    assert isinstance(jm.Market.of(traders(), traders()).endowment, jm.Uniform)


def test_a_thousand_traders_arguments_make_the_market_that_arrays_make():
    capacity, upper = np.linspace(0.5, 1.5, 1000), np.linspace(1.0, 2.0, 1000)
    blocks = zip(upper, capacity, strict=True)
    apart = jm.Market.of(*(traders(jm.Uniform(-1.0, h), kappa, 1, f"t_{k}") for k, (h, kappa) in enumerate(blocks, 1)))
    together = jm.Market.of(traders(jm.Uniform(-1.0, upper), capacity, 1, "t"))
    assert apart.names == together.names
    jax.tree.map(np.testing.assert_array_equal, apart, together)


@pytest.mark.parametrize("name", ["", "fund"])
def test_a_quarter_of_a_million_distinct_traders_make_a_market_at_once(name):
    """0.15 s; comparing each name to each would take minutes."""
    capacity = np.random.default_rng(85).uniform(0.5, 2.0, 250_000)
    began = time.perf_counter()
    market = jm.Market.of(traders(jm.TruncatedNormal(0.1 * capacity, 0.5, -1.0, 1.0), capacity, 1, name))
    assert time.perf_counter() - began < 5
    assert market.names[-1] == f"{name or 'group'}_250000"
    np.testing.assert_array_equal(market.risk_capacity, capacity)


def test_of_many_names_the_one_used_twice_is_named():
    same = traders(risk_capacity=np.ones(1000), name="fund"), traders(name="fund_500")
    refused("name 'fund_500' is used by 2 groups", *same)


def test_arrays_of_a_caller_are_not_held():
    capacity = np.array([0.5, 1.5])
    market = jm.Market.of(traders(risk_capacity=capacity))
    capacity[0] = 9.0
    assert market.risk_capacity.tolist() == [0.5, 1.5]


WRITTEN = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "JAX array": jnp.array,
    "numbers of JAX": lambda numbers: [jnp.asarray(number) for number in numbers],
}
BY_LISTS = {
    "groups": lambda of: traders(jm.Uniform(of([-1.0, -2.0]), of([1.0, 2.0])), of([0.5, 1.5]), of([2, 3])),
    "histogram": lambda of: traders(jm.Histogram(of([-1, 0, 1]), of([0.4, 0.6]))),
    "piecewise linear": lambda of: traders(jm.PiecewiseLinear(of([-1.0, 0.1, 1.0]), of([0.5, 1.0, 0.5]))),
    "weights": lambda of: traders(jm.Mixture((jm.Uniform(-1.0, 0.5), jm.Uniform(0.0, 1.0)), of([0.4, 0.6]))),
    "density": lambda of: traders(jm.Density(cornered, {"slope": of([1.0, 2.0])}, -1.0, 1.0, of([0.0]))),
}


def cornered(z, parameters):
    return -parameters["slope"] * jnp.abs(z)


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("name", BY_LISTS)
def test_sequences_of_numbers_may_be_lists_tuples_and_arrays(name, written):
    market, expected = (jm.Market.of(BY_LISTS[name](of)) for of in (WRITTEN[written], np.array))
    assert jax.tree.structure(market) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, market, expected)


@pytest.mark.parametrize("of", [list, tuple, lambda laws: np.array(laws, object)], ids=["list", "tuple", "array"])
def test_sequences_of_laws_may_be_lists_tuples_and_arrays(of):
    parts = (jm.Uniform(-1.0, 0.5), jm.TruncatedNormal(0.2, 0.5, -1.0, 1.0))
    mixed, expected = jm.Mixture(of(parts), [0.4, 0.6]), jm.Mixture(parts, np.array([0.4, 0.6]))
    assert jax.tree.structure(mixed) == jax.tree.structure(expected)
    assert jax.tree.structure(SideBySide(of(parts))) == jax.tree.structure(SideBySide(parts))
    market = jm.Market.of(traders(mixed))
    assert jax.tree.structure(market) == jax.tree.structure(jm.Market.of(traders(expected)))


@pytest.mark.parametrize("bad", [[], [LAW, 3.0], [LAW, None], [1.0, 2.0], np.array([LAW, "uniform"], object), {}, None])
def test_what_is_no_sequence_of_laws_is_refused(bad):
    refused(r"laws of traders 1 is .*; give laws, as \[Uniform\(", traders(jm.Mixture(bad, [0.4, 0.6])))


def test_lists_may_hold_traced_numbers():
    def chance(mass):
        law = jm.Histogram([-1.0, 0.0, 1.0], [mass, 1 - mass])
        market = jm.Market.of(traders(jm.Uniform(-1.0, 1.0), [mass, 1.0]))
        return law.cdf(0.0) + market.risk_capacity[0]

    assert float(jax.jit(chance)(0.3)) == pytest.approx(0.6, abs=1e-15)
    assert float(jax.grad(chance)(0.3)) == pytest.approx(2.0, abs=1e-12)


def test_condition_1_asks_that_the_lowest_type_buys_and_the_highest_sells():
    lopsided = jm.Market.of(jm.Traders(jm.Uniform(0.0, 1.0), [0.5, 1.5]))
    assert jm.condition_1(lopsided).tolist() == [True, False]
    assert jm.condition_1(jm.Market.of(jm.Traders(jm.Uniform(0.0, 1.0), [0.5, 0.6]))).tolist() == [True, True]


def test_condition_2_asks_for_monotone_ratios():
    market = jm.Market.of(jm.Traders(jm.Beta([0.5, 2.0, 1.0], [0.5, 3.0, 1.0], 0.0, 1.0), 0.5))
    assert jm.condition_2(market).tolist() == [False, True, True]


def test_markets_are_built_under_jit_where_values_cannot_be_checked():
    @jax.jit
    def capacity(risk_capacity, upper):
        market = jm.Market.of(jm.Traders(jm.Uniform(-1.0, upper), risk_capacity, 3), traders())
        return market.total_risk_capacity

    assert float(capacity(0.5, 1.0)) == 2.5
    assert float(capacity(-1.0, -2.0)) == -2.0
    assert float(jax.grad(capacity)(0.5, 1.0)) == 3.0
    assert bool(jnp.isnan(capacity(jnp.nan, 1.0)))
