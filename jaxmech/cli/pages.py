"""The commands `jaxmech report` and `jaxmech explore`: pages to look at."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from jaxmech.cli.markets import market_of, on_a_market
from jaxmech.cli.sweep import say_written
from jaxmech.inputs import read_toml


def add_pages(commands):
    """The parsers of both commands."""
    page = on_a_market(commands, "report", _report, "one HTML file with sliders, to look at and to mail", False, False)
    page.add_argument("--alpha", type=float, default=0.5, help="weight on revenue where its slider starts, 0 to 1")
    page.add_argument(
        "--over", type=_range, action="append", help="NAME=LOW,HIGH of a number with a slider; at most two"
    )
    page.add_argument("--out", type=Path, required=True, help="the file to write, such as report.html")
    _add_observations(page)
    live = on_a_market(
        commands, "explore", _explore, "a page on this machine with a knob for every number", False, False
    )
    live.add_argument("--port", type=int, default=0, help="of the page on this machine; a free one if not given")
    live.add_argument("--no-browser", action="store_true", help="print the page's address and open nothing")
    _add_observations(live)


def _add_observations(command):
    said = "table of observed endowments to show beside the densities; the one that the market file names, if any"
    command.add_argument("--observations", type=Path, help=said)
    command.add_argument("--column", default="endowment", help="its column of endowments")
    command.add_argument("--group-column", default="group", help="its column of groups; in each the newest is last")


def _observations_of(options):
    """What was observed, by group; None where neither the command line nor the market file names a table."""
    from jaxmech.estimation.observations import observations

    file = options.observations
    if file is None:
        named = read_toml(options.market).get("provenance", {}).get("observations")
        if named is None:
            return None
        file = Path(options.market).parent / named
        if not file.exists():
            print(f"jaxmech: {file}, which {options.market} names, is not there; go on without it", file=sys.stderr)
            return None
    rows = observations(file, options.column, options.group_column).by_group()
    return {name: values for name, (values, _) in rows.items()}


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


def _report(options):
    from jaxmech.explorer.report import report

    table = read_toml(options.market)
    told = {name: table[name] for name in ("name", "units") if name in table} | table.get("provenance", {})
    over = None if options.over is None else dict(options.over)
    market, seen = market_of(options), _observations_of(options)
    say_written([report(market, options.out, options.alpha, over, table.get("name"), told, seen)])
    return 0


def _explore(options):
    import webbrowser

    from jaxmech.explorer.live import Explorer

    print("jaxmech: compiling", file=sys.stderr, flush=True)
    market, seen = market_of(options), _observations_of(options)
    with Explorer(market, options.port, seen) as page, suppress(KeyboardInterrupt):
        print(page.address, flush=True)
        if not options.no_browser:
            webbrowser.open(page.address)
        page.wait()
    return 0
