"""Pictures of laws, mechanisms, payments and simulations, on the caller's axes or new ones. Needs the extra `plot`."""

import numpy as np

from jaxmech.extras import extra
from jaxmech.plain import brief
from jaxmech.reports.plots import STYLE, in_figures

with extra("plot"):
    import matplotlib as mpl
    from matplotlib.figure import Figure

_POINTS = 401
_MOST = 8  # lines in one picture


def _axes(ax):
    if ax is not None:
        return ax
    with mpl.rc_context(STYLE):
        return Figure(figsize=(4.6, 3.2)).subplots()


def _lines(ax, x, y, names, horizontal, vertical):
    """One line for each column of y, on axes that say what they show."""
    for k in range(min(y.shape[1], _MOST)):
        ax.plot(x[:, k], y[:, k], label=in_figures(str(names[k])), lw=1.4)
    ax.set(xlabel=horizontal, ylabel=vertical)
    if y.shape[1] > 1:
        ax.legend(fontsize=8)
    return ax


def _over_supports(lower, upper):
    """Types over each support, a column a group."""
    return np.linspace(np.atleast_1d(np.asarray(lower)), np.atleast_1d(np.asarray(upper)), _POINTS)


def _names(market):
    return market.names or range(1, market.groups + 1)


def law_plot(law, ax=None):
    """The density of each group's law over its support."""
    z = _over_supports(law.lower, law.upper)
    density = np.asarray(law.pdf(z if np.ndim(law.lower) else z[:, 0])).reshape(z.shape)
    names = [brief(law)] if z.shape[1] == 1 else range(1, z.shape[1] + 1)
    return _lines(_axes(ax), z, density, names, "endowment, asset units", "density")


def mechanism_plot(mechanism, ax=None):
    """What each type expects to buy, group by group: nothing on the binding interval."""
    law = mechanism.market.endowment
    z = _over_supports(law.lower, law.upper)
    said = "endowment, asset units", "expected purchase, asset units"
    ax = _lines(_axes(ax), z, np.asarray(mechanism.interim_allocation(z)), _names(mechanism.market), *said)
    ax.axhline(0, color="black", lw=0.6)
    return ax


def payments_plot(payments, ax=None):
    """What one trader of each group pays beside price times quantity, by the quantity bought at the expected price."""
    rule = payments.by_group()
    market, moments = rule.market, rule.design.moments
    offered = float(np.sum(np.asarray(market.count * moments.mean)))
    price = 0.0 - float(rule.price_scale) * offered / float(market.total_risk_capacity)
    prices = np.full(_POINTS, price)
    quantity = rule.demand(_over_supports(market.endowment.lower, market.endowment.upper), prices)
    paid = rule.side_payment(prices, quantity)
    said = "quantity bought, asset units", f"side payment at price {price:.3g}"
    return _lines(_axes(ax), np.asarray(quantity), np.asarray(paid), _names(market), *said)


def simulation_plot(simulation, ax=None):
    """How the volume of an auction is distributed."""
    ax, edges = _axes(ax), simulation.volume_edges
    ax.stairs(simulation.volume_counts / simulation.auctions / np.diff(edges), edges, fill=True, alpha=0.6)
    ax.set(xlabel="volume of an auction, asset units", ylabel="density")
    return ax
