"""How a command line names one market, and what it says of it besides."""

import argparse

from jaxmech.market.market import Market
from jaxmech.market.outside import OutsideMarket
from jaxmech.market.parameters import market_at

JSON = {"action": "store_true", "help": "print JSON instead of text"}


def on_a_market(commands, name, run, purpose, alpha=True, prints=True):
    """The parser of a command on one market, at one α and printing an answer unless told otherwise."""
    command = commands.add_parser(name, help=purpose)
    command.add_argument("market", help="TOML file of the market")
    if alpha:
        command.add_argument("--alpha", type=float, required=True, help="weight on revenue, 0 to 1")
    least = "what revenue must be at least, money; -inf for no budget at all"
    command.add_argument("--minimum-revenue", type=float, help=least)
    for name, kind, purpose in (
        ("welfare-weight", of_group(float), "weight of the traders' gains in the objective"),
        ("outside", of_group(_outside_market), "PRICE,COST of a market outside that each trader may turn to instead"),
    ):
        said = f"{purpose}; again as GROUP=… for one group"
        command.add_argument(f"--{name}", type=kind, action="append", default=[], help=said)
    if prints:
        command.add_argument("--json", **JSON)
    command.set_defaults(run=run)
    return command


def market_of(options):
    """The market of the file, and what the command line says of it besides."""
    market = Market.from_toml(options.market)
    for group, outside in options.outside:
        market = market.with_outside(group or "all", outside)
    if options.welfare_weight:
        names = [f"{group or 'all'}.welfare_weight" for group, _ in options.welfare_weight]
        market = market_at(market, dict(zip(names, (weight for _, weight in options.welfare_weight), strict=True)))
    return market if options.minimum_revenue is None else market.earning(options.minimum_revenue)


def of_group(kind):
    """What reads 3 as (None, 3) and dealer=3 as ("dealer", 3)."""

    def pair(text):
        group, mark, number = text.rpartition("=")
        try:
            return (group if mark else None), kind(number)
        except ValueError:
            wanted = {int: "a whole number", float: "a number"}.get(kind, "PRICE,COST")
            raise argparse.ArgumentTypeError(f"{text!r}: give {wanted}, or GROUP=NUMBER") from None

    return pair


def _outside_market(text):
    """PRICE,COST."""
    price, cost = map(float, text.split(","))
    return OutsideMarket(price, cost)
