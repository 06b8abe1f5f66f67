"""A reform that harms nobody: the best that leaves every type what today's double auction gives him (beyond §11)."""

from dataclasses import replace
from typing import NamedTuple

from jaxmech.arrays import NumbersLike, on_host, total
from jaxmech.auctions.double_auction import DoubleAuction, double_auction
from jaxmech.inputs import MarketError
from jaxmech.market.market import Market, checked_market
from jaxmech.market.outside import Outside, OutsideOption
from jaxmech.optimum.mechanism import Mechanism
from jaxmech.optimum.outcomes import Outcomes, outcomes
from jaxmech.optimum.solve import solve
from jaxmech.plain import aligned, result
from jaxmech.programs import compiled


@result()
class Reform(NamedTuple):
    """The reform beside what there is today and what the exchange would do if nobody had a say. Made by `reform`."""

    mechanism: Mechanism  # the reform, its market with today's auction as everybody's outside option
    reformed: Outcomes  # of it
    today: Outcomes  # of the plain double auction, which earns nothing
    unconstrained: Outcomes  # of the optimum that traders can only refuse to trade in


def auction_option(auction: DoubleAuction) -> OutsideOption:
    """What every type gains in a double auction, fee paid, as an outside option (beyond §11).

    With B_i = B − b_i the slope of the others' demand, and g = b/κ what they offer of their endowments,

        γ_i = B_i/(B_i + 2κ_i),    c_i = κ_i Σ_{j≠i} g_jμ_j/B_i,    r_i = γ_iκ_i Σ_{j≠i} g_j² Var Z_j/(2B_i²) − fee.

    Args:
      auction: of `double_auction`.

    Returns:
      OutsideOption, (G, ...). γ_i < 1 − κ_i/K always.
    """
    return _auction_option(auction)


@compiled
def _auction_option(auction):
    market, unloading = auction.market, auction.unloading
    others = total(market.count * auction.slope) - auction.slope
    offered, spread = unloading * auction.endowment_mean, unloading**2 * auction.endowment_variance
    offered, spread = (total(market.count * part) - part for part in (offered, spread))
    gamma = others / (others + 2 * market.risk_capacity)
    reserve = gamma * market.risk_capacity * spread / (2 * others**2) - auction.participation_fee
    return OutsideOption(gamma, market.risk_capacity * offered / others, reserve)


def reform(market: Market, alpha: NumbersLike, minimum_revenue: NumbersLike | None = None) -> Reform:
    """The best mechanism in which no type of any trader is worse off than in today's plain double auction.

    The auction, which has no fees, is such a mechanism itself and breaks even: where nothing has to be earned there is
    a reform.

    Args:
      market: a Market of at least three traders, without outside options; batches carry trailing axes.
      alpha: weight on revenue, in [0, 1].
      minimum_revenue: as in `solve`.

    Returns:
      Reform, differentiable in the market and in α.

    Raises:
      MarketError: fewer than three traders: their auction has no linear equilibrium; outside options; what `solve`
        raises.
    """
    if checked_market(market).outside is not None:
        raise MarketError("market has outside options; give it without, today's auction takes their place")
    auction = double_auction(market, "none")
    unconstrained = solve(market, alpha, minimum_revenue)
    option = auction_option(auction)
    inside = Outside(option.gamma, option.centre, option.reserve, (False,) * market.groups)
    mechanism = solve(replace(market, outside=inside), alpha, minimum_revenue)
    return Reform(mechanism, outcomes(mechanism), outcomes(auction), outcomes(unconstrained))


def reform_text(found: Reform) -> str:
    """A reform on one screen."""
    mechanism, *designs = on_host(tuple(found))
    surplus = float(designs[0].first_best_surplus)
    rows = [["design", "revenue", "efficiency lost", *(f"{name} gains" for name in mechanism.market.names)]]
    for name, design in zip(("reform", "double auction today", "unconstrained optimum"), designs, strict=True):
        lost = float(design.first_best_efficiency - design.efficiency) / surplus
        gains = (f"{gain:.6g}" for gain in design.utility_gain_by_group)
        revenue = round(float(design.revenue) / surplus, 12) * surplus + 0.0  # no rounding, no −0
        rows.append([name, f"{revenue:.6g}", f"{lost:.3%}", *gains])
    return "\n".join(
        [*aligned(rows), "(efficiency lost: share of first-best gains from trade; gains: money, all traders)"]
    )
