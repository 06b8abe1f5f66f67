"""A fee notice: what each group pays beyond the price of the asset, by size and by price."""

import csv
import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import on_device, on_host, total
from jaxmech.auctions.side_payments import SidePayments
from jaxmech.inputs import whole_number
from jaxmech.market.market import MarketError
from jaxmech.programs import compiled

_QUANTILE_95 = 1.6448536269514722


def fee_sheet(side_payments: SidePayments, sizes: int = 4) -> dict[str, Any]:
    """The side payments of a schedule as an exchange would print them.

    Prices are the mean of the clearing price and 1.645 standard deviations below and above it, about its 5%, 50% and
    95% quantiles. Sizes are round numbers up to what the group may trade at those prices.

    Args:
      side_payments: SidePayments.
      sizes: sizes on either side of zero.

    Returns:
      A dictionary of plain numbers: "prices", and for each group its name, "participation_fee", "spread" (what the
      marginal payments of buyers and of sellers differ by), "spread_width" (0 where they differ by a jump at one offer;
      with outside options, the asset units from the last buyer's offer to the first seller's), "curvature" c, "sizes"
      and "side_payment", one row a size and one column a price. Negative payments are received. Where there are some,
      also the group's "outside" option, and the "rebate", a part of the participation fee, to each of its traders.
    """
    if not isinstance(side_payments, SidePayments):
        raise MarketError(f"side_payments is {type(side_payments).__name__}; make one with side_payments(mechanism)")
    sizes = whole_number("sizes", sizes, 1)
    rule, design = side_payments.by_group(), side_payments.design
    prices, reach, spread, width, curvature = map(np.asarray, _terms(rule))
    steps = np.array([_round_steps(farthest, sizes) for farthest in reach], reach.dtype)
    paid = np.asarray(rule.side_payment(on_device(prices[:, None]), on_device(steps.T)))
    market, fee = on_host(design.market), np.asarray(rule.participation_fee)
    names = market.names or [f"group_{k}" for k in range(1, market.groups + 1)]
    groups = [
        {
            "name": name,
            "traders": int(market.count[place]),
            "participation_fee": float(fee[place]),
            "spread": float(spread[place]),
            "spread_width": float(width[place]),
            "curvature": float(curvature[place]),
            "sizes": steps[place].tolist(),
            "side_payment": paid[..., place].T.tolist(),
        }
        | _more(design, market.option, place)
        for place, name in enumerate(names)
    ]
    return {
        "alpha": float(design.alpha),
        "weight": float(design.weight),
        "price_scale": float(rule.price_scale),
        "prices": prices.tolist(),
        "groups": groups,
    }


def _more(design, option, place):
    """What there is besides of a group."""
    more = {} if option is None else {"outside": {k: float(v[place]) for k, v in vars(option).items()}}
    return more if design.rebate is None else more | {"rebate": float(design.rebate[place])}


@compiled
def _terms(rule):
    """Prices (3,), the largest quantity that anybody of each group asks for at them, spreads, over how many units they
    are spread, and curvatures, (G,)."""
    law, prices = rule.market.endowment, likely_prices(rule)
    ends = jnp.stack([law.lower, law.upper])[:, None]
    interval, line = rule.columns.binding_interval, rule.columns.line()
    width = jnp.zeros_like(rule.spread) if line is None else line.slope * (interval[:, 1] - interval[:, 0])
    return prices, jnp.max(jnp.abs(rule.demand(ends, prices)), axis=(0, 1)), rule.spread, width, rule.curvature


def likely_prices(rule: SidePayments) -> jax.Array:
    """The mean of the clearing price and 1.645 standard deviations below and above it, (3,), of payments by group."""
    moments, count = rule.columns.interim(), rule.market.count
    factor = rule.price_scale / rule.market.total_risk_capacity
    middle, width = -factor * total(count * moments.mean), factor * jnp.sqrt(total(count * moments.variance))
    return middle + jnp.asarray([-_QUANTILE_95, 0.0, _QUANTILE_95], width.dtype) * width


def _round_steps(reach, sizes):
    """−n·step … n·step with step a round number, n·step about `reach`."""
    rough = reach / sizes
    magnitude = 10.0 ** np.floor(np.log10(rough))
    step = magnitude * min((1, 2, 2.5, 5, 10), key=lambda m: abs(m * magnitude - rough))
    return [round(k * step, 12) for k in range(-sizes, sizes + 1)]


def fee_text(sheet) -> str:
    """A fee sheet on one screen, in words."""
    lines = [
        f"Fee notice for α = {sheet['alpha']:g}: payments beyond price × quantity; negative amounts are received.",
        "A trader sells where the size is negative. Fees are due from every participant, whatever he trades.",
    ]
    if any("outside" in group for group in sheet["groups"]):
        lines.append(
            "A participation fee below 0 is paid to every participant: it matches what he could gain elsewhere."
        )
    for group in sheet["groups"]:
        spread = f"spread {group['spread']:.6g} per unit"
        if group["spread_width"] > 0:
            spread += f" over {group['spread_width']:.6g} units"
        rebate = f" (after a rebate of {group['rebate']:.6g})" if group.get("rebate") else ""
        lines += [
            "",
            f"{group['name']} ({group['traders']} traders): participation fee {group['participation_fee']:.6g}{rebate}"
            f", {spread}, size term {0.5 * group['curvature']:+.6g} × size²",
            f"  {'size':>10}" + "".join(f"{f'at price {p:.4g}':>20}" for p in sheet["prices"]),
        ]
        lines += [
            f"  {size:>10.4g}" + "".join(f"{value:>20.6g}" for value in row)
            for size, row in zip(group["sizes"], group["side_payment"], strict=True)
        ]
    return "\n".join(lines)


def fee_csv(sheet) -> str:
    """A fee sheet as CSV: group, size, price, side payment."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["group", "size", "price", "side_payment"])
    for group in sheet["groups"]:
        for size, row in zip(group["sizes"], group["side_payment"], strict=True):
            rows.writerows([group["name"], size, price, paid] for price, paid in zip(sheet["prices"], row, strict=True))
    return text.getvalue()
