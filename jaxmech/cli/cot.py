"""The command `jaxmech cot`: files of the Commitments of Traders to a market, or a list of their contracts."""

from pathlib import Path

from jaxmech.cli.sweep import say_written
from jaxmech.inputs import MarketError
from jaxmech.plain import json_text


def add_cot(commands):
    """The parser of the command."""
    command = commands.add_parser(
        "cot",
        help="weekly futures positions as the US Commission publishes them to a market",
        usage="jaxmech cot FILES... --contract TEXT --out market.toml [options]\n       jaxmech cot FILES... --list",
    )
    command.add_argument("files", nargs="+", type=Path, help="yearly files of one report: text, CSV or zip")
    command.add_argument("--contract", help="a part of the contract's name, or its code")
    command.add_argument("--list", action="store_true", help="print the contracts of the files, and write nothing")
    command.add_argument("--window", type=int, default=26, help="reports whose mean is a week's level; 0: all reports")
    command.add_argument("--family", default="truncated_normal", help="law of every group, as in jaxmech.fit; or best")
    command.add_argument("--out", type=Path, help="the market's TOML file")
    command.add_argument("--json", action="store_true", help="print JSON instead of text")
    command.set_defaults(run=_run)


def _run(options):
    from jaxmech.estimation.cot import read_cot

    if options.list == (options.contract is not None) or options.list == (options.out is not None):
        raise MarketError("cot: give --list alone, or --contract TEXT and --out FILE")
    if options.list:
        reports = read_cot(options.files)
        rows = [one.summary() for one in reports.contracts]
        print(json_text(rows) if options.json else reports)
        return 0
    return _market(options)


def _market(options):
    from jaxmech.estimation.cot_market import cot_market

    found = cot_market(options.files, options.contract, window=options.window, family=options.family, out=options.out)
    print(json_text(found) if options.json else found.report())
    say_written([options.out])
    return 0
