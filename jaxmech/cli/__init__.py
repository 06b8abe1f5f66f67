"""The command `jaxmech`: parses, prints, writes files; holds no formula.

Exit codes: 0 all certified, 1 some answer is not certified, 2 bad input or a disk or pipe that refuses, 130 interrupted
(what is done is kept).
"""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

from jaxmech.cli.sweep import add_sweep, say_written
from jaxmech.compile_cache import command_cache
from jaxmech.extras import MissingExtra
from jaxmech.inputs import read_toml
from jaxmech.market.market import Market, MarketError
from jaxmech.market.outside import OutsideMarket
from jaxmech.market.parameters import market_at
from jaxmech.plain import json_text

_FAMILY = {"default": "truncated_normal", "help": "law of every group, as in jaxmech.fit; or best"}
_JSON = {"action": "store_true", "help": "print JSON instead of text"}
_MARKET_FILE = {"type": Path, "help": "the market's TOML file"}
_FORMAT = {  # fields of Format: kinds and help
    "delimiter": (str, "between cells, such as ';' or '\\t'; found out if not given, as all of the following"),
    "decimal": (str, "decimal mark, '.' or ','"),
    "thousands": (str, "thousands mark, one of , . ' and a blank; '' for none"),
    "encoding": (str, "of the file, such as cp1252"),
    "sheet": (str, "of a workbook"),
    "header_row": (int, "line of the columns' names; 0 for none, they are then 1, 2, 3, …"),
    "skip_rows": (int, "lines at the top to leave out"),
}


def main(arguments=None) -> int:
    """Entry point; returns the exit code."""
    import jax

    jax.config.update("jax_enable_x64", True)
    os.environ.setdefault("MPLBACKEND", "Agg")  # figures are written, not shown
    with suppress(AttributeError):  # a notebook's
        sys.stdout.reconfigure(errors="backslashreplace")  # α where the terminal's or the pipe's encoding has none
    options = _parser().parse_args(arguments)
    try:
        out = getattr(options, "out", None)
        if out is not None and options.command not in ("fit", "cot", "report") and out.exists() and not out.is_dir():
            raise MarketError(f"--out {out}: is a file; give a folder")
        with command_cache(off=options.no_cache):
            code = options.run(options)
        sys.stdout.flush()  # what nobody takes shows here, not when Python ends
        return code
    except (MarketError, MissingExtra, OSError) as error:
        print(f"jaxmech: {error}", file=sys.stderr)
        _drop_what_nobody_takes()
        return 2
    except KeyboardInterrupt:
        print("jaxmech: interrupted", file=sys.stderr)
        return 130


def _drop_what_nobody_takes():
    """Where the output is a pipe that was closed or a disk that is full, Python would fail over it again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser():
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="jaxmech", description="Optimal trading mechanisms for an exchange.")
    commands = parser.add_subparsers(dest="command", required=True)
    _on_a_market(commands, "solve", _solve, "solve one market and print its optimal mechanism")
    _on_a_market(commands, "reform", _reform, "the best change of a plain double auction that harms nobody")
    _on_a_market(commands, "compare", _compare, "the optimum beside the first best and the double auction")
    fees = _on_a_market(commands, "fees", _fees, "the fees that implement the optimum, as an exchange would print them")
    fees.add_argument("--price-unit", choices=("natural", "paper"), default="natural", help="unit of the price")
    fees.add_argument("--sizes", type=int, default=4, help="sizes on either side of zero")
    fees.add_argument("--out", type=Path, help="folder for fees.csv, fees.json and figures")
    derive = _on_a_market(commands, "sensitivity", _sensitivity, "exact derivatives of the optimum to every number")
    derive.add_argument("--second", action="store_true", help="also second derivatives, in the JSON")
    derive.add_argument("--out", type=Path, help="folder for sensitivity.csv, sensitivity.json and tornado figures")
    trace = _on_a_market(commands, "frontier", _frontier, "the whole trade-off of revenue and efficiency", alpha=False)
    trace.add_argument("--tolerance", type=float, default=1e-8, help="error allowed, share of the first-best surplus")
    trace.add_argument("--band", help="parameter whose change is drawn as a band, such as all.risk_capacity.factor")
    trace.add_argument("--change", type=float, help="by how much it rises and falls")
    trace.add_argument("--out", type=Path, help="folder for frontier.json and the figure")
    page = _on_a_market(commands, "report", _report, "one HTML file with sliders, to look at and to mail", False, False)
    page.add_argument("--alpha", type=float, default=0.5, help="weight on revenue where its slider starts, 0 to 1")
    page.add_argument(
        "--over", type=_range, action="append", help="NAME=LOW,HIGH of a number with a slider; at most two"
    )
    page.add_argument("--out", type=Path, required=True, help="the file to write, such as report.html")
    live = _on_a_market(
        commands, "explore", _explore, "a page on this machine with a knob for every number", False, False
    )
    live.add_argument("--port", type=int, default=0, help="of the page on this machine; a free one if not given")
    live.add_argument("--no-browser", action="store_true", help="print the page's address and open nothing")
    match = commands.add_parser("calibrate", help="parameters at which outcomes match targets, or one is largest")
    match.add_argument("spec", help="TOML file of the calibration")
    match.add_argument("--json", **_JSON)
    match.set_defaults(run=_calibrate)
    _add_fit(commands)
    _add_cot(commands)
    add_sweep(commands)
    for command in commands.choices.values():
        command.add_argument("--no-cache", action="store_true", help="compile everything anew and keep none of it")
    return parser


def _on_a_market(commands, name, run, purpose, alpha=True, prints=True):
    """The parser of a command on one market, at one α and printing an answer unless told otherwise."""
    command = commands.add_parser(name, help=purpose)
    command.add_argument("market", help="TOML file of the market")
    if alpha:
        command.add_argument("--alpha", type=float, required=True, help="weight on revenue, 0 to 1")
    least = "what revenue must be at least, money; -inf for no budget at all"
    command.add_argument("--minimum-revenue", type=float, help=least)
    for name, kind, purpose in (
        ("welfare-weight", _of_group(float), "weight of the traders' gains in the objective"),
        ("outside", _of_group(_outside_market), "PRICE,COST of a market outside that each trader may turn to instead"),
    ):
        said = f"{purpose}; again as GROUP=… for one group"
        command.add_argument(f"--{name}", type=kind, action="append", default=[], help=said)
    if prints:
        command.add_argument("--json", **_JSON)
    command.set_defaults(run=run)
    return command


def _range(text):
    """NAME=LOW,HIGH as (name, (low, high))."""
    name, mark, ends = text.rpartition("=")
    try:
        low, high = map(float, ends.split(","))
    except ValueError:
        mark = ""
    if not mark:
        raise argparse.ArgumentTypeError(f"{text!r}: give NAME=LOW,HIGH, such as all.risk_capacity.factor=0.5,2")
    return name, (low, high)


def _outside_market(text):
    """PRICE,COST."""
    price, cost = map(float, text.split(","))
    return OutsideMarket(price, cost)


def _market_of(options):
    """The market of the file, and what the command line says of it besides."""
    market = Market.from_toml(options.market)
    for group, outside in options.outside:
        market = market.with_outside(group or "all", outside)
    if options.welfare_weight:
        names = [f"{group or 'all'}.welfare_weight" for group, _ in options.welfare_weight]
        market = market_at(market, dict(zip(names, (weight for _, weight in options.welfare_weight), strict=True)))
    return market if options.minimum_revenue is None else market.earning(options.minimum_revenue)


def _add_fit(commands):
    command = commands.add_parser("fit", help="fit endowment laws to a table of observations and write the market")
    command.add_argument("data", type=Path, help="text file with one row for each observation, or .xlsx")
    command.add_argument("--column", required=True, help="column of observed endowments; empty cells are missing")
    command.add_argument("--group-column", help="one group of traders for each of its values")
    command.add_argument("--weights-column", help="how often each row was seen")
    command.add_argument("--family", **_FAMILY)
    for name, kind, purpose in (
        ("lower", float, "lower end of the support, where it is known"),
        ("upper", float, "upper end of the support, where it is known"),
        ("count", int, "traders of each group; not in the data; 10 if not given"),
        ("risk-capacity", float, "of each trader; not in the data; 1 if not given"),
    ):
        said = f"{purpose}; again as GROUP=NUMBER for one group"
        command.add_argument(f"--{name}", type=_of_group(kind), action="append", default=[], help=said)
    for name, (kind, purpose) in _FORMAT.items():
        command.add_argument(f"--{name.replace('_', '-')}", type=kind, help=purpose)
    command.add_argument("--missing", action="append", help="text that means a missing value; may be repeated")
    command.add_argument("--out", required=True, **_MARKET_FILE)
    command.set_defaults(run=_fit)


def _of_group(kind):
    """What reads 3 as (None, 3) and dealer=3 as ("dealer", 3)."""

    def pair(text):
        group, mark, number = text.rpartition("=")
        try:
            return (group if mark else None), kind(number)
        except ValueError:
            wanted = {int: "a whole number", float: "a number"}.get(kind, "PRICE,COST")
            raise argparse.ArgumentTypeError(f"{text!r}: give {wanted}, or GROUP=NUMBER") from None

    return pair


def _add_cot(commands):
    command = commands.add_parser(
        "cot",
        help="weekly futures positions as the US Commission publishes them to a market",
        usage="jaxmech cot FILES... --contract TEXT --out market.toml [options]\n       jaxmech cot FILES... --list",
    )
    command.add_argument("files", nargs="+", type=Path, help="yearly files of one report: text, CSV or zip")
    command.add_argument("--contract", help="a part of the contract's name, or its code")
    command.add_argument("--list", action="store_true", help="print the contracts of the files, and write nothing")
    command.add_argument("--window", type=int, default=26, help="reports whose mean is a week's level; 0: all reports")
    command.add_argument("--family", **_FAMILY)
    command.add_argument("--out", **_MARKET_FILE)
    command.add_argument("--json", **_JSON)
    command.set_defaults(run=_cot)


def _solve(options):
    from jaxmech.optimum.solve import solve
    from jaxmech.reports.tables import mechanism_report, mechanism_text

    report = mechanism_report(solve(_market_of(options), options.alpha))
    print(json_text(report) if options.json else mechanism_text(report))
    return 0 if report["ok"] else 1


def _reform(options):
    from jaxmech.auctions.reform import reform, reform_text

    found = reform(_market_of(options), options.alpha)
    print(json_text(found) if options.json else reform_text(found))
    return _uncertified(found.mechanism)


def _compare(options):
    from jaxmech.optimum.solve import solve
    from jaxmech.reports.tables import comparison, comparison_text

    market = _market_of(options)
    rows = comparison(market, options.alpha)
    print(json_text(rows) if options.json else comparison_text(rows))
    return max(_uncertified(solve(market, alpha)) for alpha in (options.alpha, 0.0, 1.0))


def _uncertified(mechanism):
    """0 for what is certified; else 1, and what is wrong on the error stream."""
    from jaxmech.optimum.certificate import certify

    if mechanism.status != "optimal":
        print(f"jaxmech: no mechanism at α = {float(mechanism.alpha):g}: {mechanism.status}", file=sys.stderr)
        return 1
    try:
        certify(mechanism).raise_if_failed(f"optimum at α = {float(mechanism.alpha):g}")
    except ValueError as error:
        print(f"jaxmech: not certified: {error}", file=sys.stderr)
        return 1
    return 0


def _fees(options):
    from jaxmech.auctions.fee_notice import fee_csv, fee_sheet, fee_text
    from jaxmech.auctions.side_payments import side_payments
    from jaxmech.optimum.solve import solve

    if options.sizes < 1:
        raise MarketError(f"--sizes is {options.sizes}; give a whole number ≥ 1")
    mechanism = solve(_market_of(options), options.alpha)
    if mechanism.status != "optimal":
        return _uncertified(mechanism)
    rule = side_payments(mechanism, options.price_unit)
    sheet = fee_sheet(rule, options.sizes)
    print(json_text(sheet) if options.json else fee_text(sheet))
    if options.out:
        from jaxmech.reports.plots import fee_figures

        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "fees.csv").write_text(fee_csv(sheet), encoding="utf-8")
        (options.out / "fees.json").write_text(json_text(sheet) + "\n", encoding="utf-8")
        say_written(fee_figures(rule, sheet, options.out))
    return _uncertified(rule.design)


def _sensitivity(options):
    from jaxmech.derivatives.sensitivity import STATUS, sensitivity

    slopes = sensitivity(_market_of(options), options.alpha, options.second)
    text = json_text(slopes)
    print(text if options.json else slopes)
    if options.out:
        from jaxmech.reports.plots import written

        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "sensitivity.json").write_text(text + "\n", encoding="utf-8")
        slopes.to_dataframe().to_csv(options.out / "sensitivity.csv", index=False)
        names = ("revenue", "efficiency")
        say_written([written(slopes.tornado(name), options.out, f"tornado_{name}") for name in names])
    return 1 if (slopes.status == STATUS.index("failed")).any() else 0


def _frontier(options):
    from jaxmech.derivatives.frontier import frontier
    from jaxmech.reports.tables import frontier_designs, frontier_report, frontier_text

    market = _market_of(options)
    if options.band and not options.out:
        raise MarketError(f"--band {options.band}: needs --out FOLDER for the figure it is drawn in")
    traced, designs = frontier(market, options.tolerance), frontier_designs(market)
    if options.out:  # before anything is printed or written: the band may be misspelt
        figure = traced.figure(designs, options.band, options.change)
    report = frontier_report(traced, designs)
    print(json_text(report) if options.json else frontier_text(report))
    if options.out:
        from jaxmech.reports.plots import written

        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "frontier.json").write_text(json_text(report) + "\n", encoding="utf-8")
        say_written([written(figure, options.out, "frontier")])
    return 0 if report["ok"] else 1


def _report(options):
    from jaxmech.explorer.report import report

    table = read_toml(options.market)
    told = {name: table[name] for name in ("name", "units") if name in table} | table.get("provenance", {})
    over = None if options.over is None else dict(options.over)
    say_written([report(_market_of(options), options.out, options.alpha, over, table.get("name"), told)])
    return 0


def _explore(options):
    import webbrowser

    from jaxmech.explorer.live import Explorer

    print("jaxmech: compiling", file=sys.stderr, flush=True)
    with Explorer(_market_of(options), options.port) as page, suppress(KeyboardInterrupt):
        print(page.address, flush=True)
        if not options.no_browser:
            webbrowser.open(page.address)
        page.wait()
    return 0


def _calibrate(options):
    from jaxmech.cli.specs import read_calibration
    from jaxmech.derivatives.calibration import calibrate
    from jaxmech.derivatives.calibration_report import calibration_text

    market, free, settings = read_calibration(options.spec)
    calibration = calibrate(market, free, **settings)
    print(json_text(calibration) if options.json else calibration_text(calibration))
    return 0 if calibration.reached else 1


def _fit(options):
    from jaxmech.estimation.market_from_table import COUNT, RISK_CAPACITY, fit_market

    if options.delimiter == "\\t":
        options.delimiter = "\t"
    names = ("group_column", "weights_column", "family", "out", *_FORMAT, "missing")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    assumed = {"count": COUNT, "risk_capacity": RISK_CAPACITY, "lower": None, "upper": None}
    given |= {name: {None: value, **dict(getattr(options, name))} for name, value in assumed.items()}
    fitted = fit_market(options.data, options.column, **given)
    print(fitted.report())
    for group, reason in fitted.refused.items():
        print(f"jaxmech: group {group} is left out: {reason}", file=sys.stderr)
    say_written([options.out])
    return 1 if fitted.refused else 0


def _cot(options):
    from jaxmech.estimation.cot import read_cot
    from jaxmech.estimation.cot_market import cot_market

    if options.list == (options.contract is not None) or options.list == (options.out is not None):
        raise MarketError("cot: give --list alone, or --contract TEXT and --out FILE")
    if options.list:
        reports = read_cot(options.files)
        print(json_text([contract.summary() for contract in reports.contracts]) if options.json else reports)
        return 0
    names = {name: getattr(options, name) for name in ("contract", "window", "family", "out")}
    market = cot_market(options.files, **names)
    print(json_text(market) if options.json else market.report())
    say_written([options.out])
    return 0
