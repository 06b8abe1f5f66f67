"""No text of any picture leaves its figure or covers another, in a column of a paper and at full width."""

from itertools import combinations

import jax
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import jaxmech as jm
from jaxmech.reports import plots

WIDTHS = (3.4, 7.0)  # inches: a column, a page


def texts_of(figure):
    """The texts that are drawn: titles, labels, legends, and the labels of the ticks in view."""
    found = [text for text in (figure._suptitle, figure._supxlabel, figure._supylabel) if text]
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        found += [axes.title, axes._left_title, axes._right_title, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            found += [axis.label, axis.offsetText]
            found += [label for tick in axis._update_ticks() for label in (tick.label1, tick.label2)]
        if legend := axes.get_legend():
            found += [*legend.get_texts(), legend.get_title()]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def problems(figure, width):
    """Texts outside the figure, and pairs that cover each other."""
    figure.set_size_inches(width, figure.get_size_inches()[1])
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = {text: text.get_window_extent(renderer) for text in texts_of(figure)}
    page = figure.bbox
    outside = [
        text.get_text()
        for text, box in boxes.items()
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1 or box.y1 > page.y1 + 1
    ]
    covered = [
        (one.get_text(), other.get_text())
        for (one, a), (other, b) in combinations(boxes.items(), 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]
    return outside, covered


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
