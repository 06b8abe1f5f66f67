"""No text of any picture leaves its figure or covers another, in a column of a paper and at full width."""

import jax
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.reports import plots
from pictures import problems

WIDTHS = (3.4, 7.0)  # inches: a column, a page


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Every picture by name."""
    dealers = jm.Traders(jm.TruncatedNormal(0.0, 0.5, -1.0, 1.0), 2.0, 10, "primary dealers")
    market = jm.Market.of(dealers, jm.Traders(jm.Uniform(-1.0, 1.5), 1.0, 5, "leveraged funds"))
    mechanism = jm.solve(market, 0.3)
    payments, frontier = jm.side_payments(mechanism), jm.frontier(market)
    found, folder = {}, tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "written", lambda figure, folder, name: found.setdefault(name, figure))
        over = {"all.risk_capacity.factor": np.geomspace(0.5, 2, 5), "primary dealers.scale": np.linspace(0.3, 0.7, 4)}
        swept = jm.sweep(market, np.linspace(0, 1, 5), over, derivatives=True, progress=False)
        plots.sweep_figures(swept, folder)
        plots.fee_figures(payments, jm.fee_sheet(payments), folder)
    found |= {
        "tornado": jm.sensitivity(market, 0.3).tornado(),
        "frontier of one market": frontier.figure({"double auction": jm.outcomes(mechanism)}),
        "law": market.endowment.plot().figure,
        "mechanism": mechanism.plot().figure,
        "payments": payments.plot().figure,
        "simulation": jm.simulate(payments, jax.random.key(0), 200).plot().figure,
    }
    return found


ONE_PANEL = ["frontier", "budget", "tornado", "frontier of one market", "law", "mechanism", "payments", "simulation"]
PANELS = ["sensitivity", "fees", "kink"]  # beside each other: for a page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width"), [(name, width) for name in ONE_PANEL for width in WIDTHS] + [(name, 7.0) for name in PANELS]
)
def test_texts_stay_inside_and_apart(name, width, drawn):
    outside, covered = problems(drawn[name], width)
    assert not outside and not covered


def test_what_leaves_a_figure_or_covers_another_is_seen():
    axes = jm.Uniform(-1.0, 1.0).plot()
    assert problems(axes.figure, 4.0) == ([], [])
    axes.set_title("far too long for so small a figure: " * 5)
    axes.text(0.5, 0.5, "one", transform=axes.transAxes)
    axes.text(0.5, 0.5, "two", transform=axes.transAxes)
    outside, covered = problems(axes.figure, 4.0)
    assert len(outside) == 1 and ("one", "two") in covered
