"""The command `jaxmech`: parses, prints, writes files; holds no formula.

Exit codes: 0 all certified, 1 some answer is not certified, 2 bad input or a disk or pipe that refuses, 130 interrupted
(what is done is kept).
"""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

from jaxmech.cli.markets import JSON, market_of, of_group, on_a_market
from jaxmech.cli.pages import add_pages
from jaxmech.cli.sweep import add_sweep, say_written
from jaxmech.compile_cache import command_cache
from jaxmech.extras import MissingExtra
from jaxmech.inputs import MarketError
from jaxmech.plain import json_text

_FAMILY = {"default": "truncated_normal", "help": "law of every group, as in jaxmech.fit; or best"}
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
    on_a_market(commands, "solve", _solve, "solve one market and print its optimal mechanism")
    on_a_market(commands, "reform", _reform, "the best change of a plain double auction that harms nobody")
    on_a_market(commands, "compare", _compare, "the optimum beside the first best and the double auction")
    fees = on_a_market(commands, "fees", _fees, "the fees that implement the optimum, as an exchange would print them")
    fees.add_argument("--price-unit", choices=("natural", "paper"), default="natural", help="unit of the price")
    fees.add_argument("--sizes", type=int, default=4, help="sizes on either side of zero")
    fees.add_argument("--out", type=Path, help="folder for fees.csv, fees.json and figures")
    derive = on_a_market(commands, "sensitivity", _sensitivity, "exact derivatives of the optimum to every number")
    derive.add_argument("--second", action="store_true", help="also second derivatives, in the JSON")
    derive.add_argument("--out", type=Path, help="folder for sensitivity.csv, sensitivity.json and tornado figures")
    trace = on_a_market(commands, "frontier", _frontier, "the whole trade-off of revenue and efficiency", alpha=False)
    trace.add_argument("--tolerance", type=float, default=1e-8, help="error allowed, share of the first-best surplus")
    trace.add_argument("--band", help="parameter whose change is drawn as a band, such as all.risk_capacity.factor")
    trace.add_argument("--change", type=float, help="by how much it rises and falls")
    trace.add_argument("--out", type=Path, help="folder for frontier.json and the figure")
    add_pages(commands)
    match = commands.add_parser("calibrate", help="parameters at which outcomes match targets, or one is largest")
    match.add_argument("spec", help="TOML file of the calibration")
    match.add_argument("--json", **JSON)
    match.set_defaults(run=_calibrate)
    _add_fit(commands)
    _add_cot(commands)
    add_sweep(commands)
    for command in commands.choices.values():
        command.add_argument("--no-cache", action="store_true", help="compile everything anew and keep none of it")
    return parser


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
        command.add_argument(f"--{name}", type=of_group(kind), action="append", default=[], help=said)
    for name, (kind, purpose) in _FORMAT.items():
        command.add_argument(f"--{name.replace('_', '-')}", type=kind, help=purpose)
    command.add_argument("--missing", action="append", help="text that means a missing value; may be repeated")
    command.add_argument("--out", required=True, **_MARKET_FILE)
    command.set_defaults(run=_fit)


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
    command.add_argument("--observations", type=Path, help="table of the weekly shocks to write, which pages show")
    command.add_argument("--family", **_FAMILY)
    command.add_argument("--out", **_MARKET_FILE)
    command.add_argument("--json", **JSON)
    command.set_defaults(run=_cot)


def _solve(options):
    from jaxmech.optimum.solve import solve
    from jaxmech.reports.tables import mechanism_report, mechanism_text

    report = mechanism_report(solve(market_of(options), options.alpha))
    print(json_text(report) if options.json else mechanism_text(report))
    return 0 if report["ok"] else 1


def _reform(options):
    from jaxmech.auctions.reform import reform, reform_text

    found = reform(market_of(options), options.alpha)
    print(json_text(found) if options.json else reform_text(found))
    return _uncertified(found.mechanism)


def _compare(options):
    from jaxmech.optimum.solve import solve
    from jaxmech.reports.tables import comparison, comparison_text

    market = market_of(options)
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
    mechanism = solve(market_of(options), options.alpha)
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

    slopes = sensitivity(market_of(options), options.alpha, options.second)
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

    market = market_of(options)
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
    names = {name: getattr(options, name) for name in ("contract", "window", "family", "out", "observations")}
    market = cot_market(options.files, **names)
    print(json_text(market) if options.json else market.report())
    say_written(filter(None, [options.out, options.observations]))
    return 0
