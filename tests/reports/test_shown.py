"""Results can be looked at: a table in a terminal and in a notebook, rows of a DataFrame, a picture."""

from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

import jaxmech as jm


@pytest.fixture(scope="module")
def market():
    dealers = jm.Traders(jm.TruncatedNormal(0.0, 0.5, -1.0, 1.0), 2.0, 10, "dealer")
    return jm.Market.of(dealers, jm.Traders(jm.Uniform(-1.0, 1.5), 1.0, 5, "A&B <fund>"))


@pytest.fixture(scope="module")
def results(market):
    mechanism = jm.solve(market, 0.3)
    payments = jm.side_payments(mechanism)
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf] * 7, axis=-1), market)
    return {
        "market": market,
        "traders": jm.Traders(jm.Uniform([-1.0, -2.0], 1.0), 1.0, 3),
        "mechanism": mechanism,
        "outcomes": jm.outcomes(mechanism),
        "certificate": jm.certify(mechanism),
        "frontier": jm.frontier(market),
        "payments": payments,
        "simulation": jm.simulate(payments, jax.random.key(0), 200),
        "answers": jm.answers(market, 0.5),
        "batch": jm.solve(batch, jnp.linspace(0, 1, 7)),
        "batch of markets": batch,
        "fit": jm.fit(np.random.default_rng(0).normal(size=60), "uniform"),
    }


NAMES = [
    "market",
    "traders",
    "mechanism",
    "outcomes",
    "certificate",
    "frontier",
    "payments",
    "simulation",
    "answers",
    "batch",
    "batch of markets",
    "fit",
]


class Balanced(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_shown_on_one_screen_and_in_one_line(name, results):
    text = str(results[name])
    assert "Array(" not in text and "array(" not in text
    assert 1 < len(text.splitlines()) <= 60
    assert "\n" not in repr(results[name]) and len(repr(results[name])) < 1500


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_gets_a_page_in_order_with_names_as_they_are(name, results):
    page = Balanced()
    page.feed(results[name]._repr_html_())
    assert not page.open
    if name in ("market", "mechanism"):
        assert "A&B <fund>" in page.text


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fit"])
def test_rows_are_those_that_are_shown(name, results):
    frame = results[name].to_dataframe()
    assert len(frame) >= 1
    if name == "frontier":
        np.testing.assert_array_equal(frame.revenue, results[name].revenue)
    if name == "outcomes":
        np.testing.assert_array_equal(frame.revenue_by_group, results[name].revenue_by_group)


def test_numbers_that_are_shown_are_those_of_the_result(results):
    lines = str(results["certificate"]).splitlines()[1:]
    shown = {name.strip(): value for name, value in (line.rsplit(None, 1) for line in lines)}
    assert shown["ok"] == "True"
    assert float(shown["duality gap"]) == pytest.approx(float(results["certificate"].duality_gap), rel=1e-5)


def test_what_is_traced_is_shown_in_one_line(market):
    said = []
    jax.jit(lambda alpha: said.append(str(jm.solve(market, alpha))) or alpha)(0.5)
    assert said[0].startswith("Mechanism(market=Market(…)") and "\n" not in said[0]


def test_laws_are_shown_by_their_numbers():
    assert repr(jm.Uniform(-1.0, 1.5)) == "Uniform(lower=-1, upper=1.5)"
    assert "array(40,)" in repr(jm.Histogram(np.linspace(-1, 1, 41), np.ones(40) / 40))


@pytest.mark.parametrize("name", ["market", "mechanism", "payments", "simulation"])
def test_a_picture_is_drawn_on_the_axes_given_or_on_new_ones(name, results):
    drawn = results[name].endowment if name == "market" else results[name]
    axes = Figure().subplots()
    assert drawn.plot(ax=axes) is axes and axes.get_xlabel() and axes.get_ylabel()
    assert drawn.plot().figure is not axes.figure
