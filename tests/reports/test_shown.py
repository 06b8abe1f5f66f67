"""Results can be looked at: a table in a terminal and in a notebook, rows of a DataFrame, a picture."""

from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

import jaxmech as jm
from jaxmech.arrays import pytree
from jaxmech.endowments.law import Law
from public_results import COSTLY, RESULTS, result

SHOWN = [pytest.param(name, marks=[pytest.mark.slow] * (name in COSTLY)) for name in RESULTS]


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


@pytest.mark.parametrize("name", SHOWN)
def test_a_result_is_shown_on_one_screen_and_in_one_line(name):
    text, line = str(result(name)), repr(result(name))
    assert "Array(" not in text and "dtype" not in text
    assert 1 <= len(text.splitlines()) <= 60
    assert "\n" not in line and "dtype" not in line and len(line) < 5000


@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_gets_a_page_in_order_and_rows_are_at_hand(name):
    if isinstance(result(name), Law):  # one line in a notebook, too
        return
    page = Balanced()
    page.feed(result(name)._repr_html_())
    assert not page.open and page.text
    assert len(result(name).to_dataframe()) >= 1


def lines_of(text):
    """The lines of a table by what they begin with."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}


def test_numbers_that_are_shown_are_those_of_the_result():
    for name in ("SimpleSchedule", "Mechanism"):
        found, shown = result(name), lines_of(str(result(name)))
        for k, (group, (low, high)) in enumerate(
            zip(("dealer", "fund"), np.asarray(found.binding_interval), strict=True)
        ):
            assert {f"{low:.6g}", f"{high:.6g}", f"{float(found.eta[k]):.6g}"} <= set(shown[group])
    assert lines_of(str(result("Certificate")))["ok"] == ["yes"]
    outcomes = result("Outcomes")
    np.testing.assert_array_equal(outcomes.to_dataframe().revenue_by_group, outcomes.revenue_by_group)
    fitted = result("Fit").to_dataframe()
    assert list(fitted.parameter) == ["lower", "upper"] and list(fitted.parameters) == list(
        result("Fit").parameters.values()
    )
    np.testing.assert_array_equal(result("Frontier").to_dataframe().revenue, result("Frontier").revenue)


def test_an_array_of_two_sides_is_not_taken_for_one_of_two_groups():
    worst = result("WorstCase")
    assert worst.moves.shape == (2, 2)
    assert str(worst.moves.tolist()[0][0])[:6] in " ".join(lines_of(str(worst))["moves"])
    assert list(worst.to_dataframe().columns) == ["group", "least_gain"]


def test_names_are_shown_as_they_are():
    market = jm.Market.of(jm.Traders(jm.Uniform([-1.0, -2.0], 1.0), 1.0, 2, "A&B <fund>"))
    page = Balanced()
    page.feed(market._repr_html_())
    assert "A&B <fund>_1" in page.text and "A&B <fund>_1" in str(market)


def test_a_batch_is_shown_by_its_least_middle_and_largest():
    market = jax.tree.map(lambda leaf: jnp.stack([leaf] * 7, axis=-1), result("Market"))
    for found in (
        market,
        jm.solve(market, jnp.linspace(0, 1, 7)),
        jm.outcomes(jm.solve(market, jnp.linspace(0, 1, 7))),
    ):
        assert str(found).splitlines()[0] == f"{type(found).__name__}, a batch of shape (7,)"
        assert len(found.to_dataframe()) >= 2
    assert lines_of(str(jm.solve(market, jnp.linspace(0, 1, 7))))["alpha"] == ["0", "0.5", "1", "0"]


def test_what_is_traced_is_shown_in_one_line():
    said, market = [], result("Market")
    jax.jit(lambda alpha: said.append(str(jm.solve(market, alpha))) or alpha)(0.5)
    assert said[0].startswith("Mechanism(market=Market(…)") and "\n" not in said[0]


def test_laws_are_shown_by_their_numbers_and_a_users_own_words_are_kept():
    assert repr(jm.Uniform(-1.0, 1.5)) == "Uniform(lower=-1, upper=1.5)"
    assert "array(40,)" in repr(jm.Histogram(np.linspace(-1, 1, 41), np.ones(40) / 40))

    @pytree
    class Own(jm.FromDensity):
        lower: jax.Array
        upper: jax.Array

        def __repr__(self):
            return "my own"

    assert repr(Own(-1.0, 1.0)) == "my own"


@pytest.mark.parametrize("name", ["Uniform", "Mechanism", "SidePayments", "Simulation"])
def test_a_picture_is_drawn_on_the_axes_given_or_on_new_ones(name):
    axes = Figure().subplots()
    assert result(name).plot(ax=axes) is axes and axes.get_xlabel() and axes.get_ylabel()
    assert result(name).plot().figure is not axes.figure


def test_the_picture_of_payments_is_what_a_trader_of_each_group_pays():
    rule = result("SidePayments")
    for trader, line in ((0, 0), (2, 1)):  # two dealers, one fund
        quantity, paid = rule.plot().lines[line].get_data()
        price = float(rule.plot().get_ylabel().removesuffix(", money").split()[-1])
        columns = np.zeros((len(quantity), 3))
        columns[:, trader] = quantity
        expected = rule.side_payment(np.full(len(quantity), price), columns)[:, trader]
        np.testing.assert_allclose(paid, expected, atol=2e-2 * np.max(paid))
