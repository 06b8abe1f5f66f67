"""The command `jaxmech fit`: laws fitted to a table of observations, and the market they make."""

import sys
from argparse import ArgumentTypeError
from pathlib import Path

from jaxmech.cli.sweep import say_written

_FORMAT = {  # fields of Format: letters, kinds and help
    "delimiter": (str, "between cells, such as ';' or '\\t'; found out if not given, as all of the following"),
    "decimal": (str, "decimal mark, '.' or ','"),
    "thousands": (str, "thousands mark, one of , . ' and a blank; '' for none"),
    "encoding": (str, "of the file, such as cp1252"),
    "sheet": (str, "of a workbook"),
    "header_row": (int, "line of the columns' names; 0 for none, they are then 1, 2, 3, …"),
    "skip_rows": (int, "lines at the top to leave out"),
}


def add_fit(commands):
    """The parser of the command."""
    command = commands.add_parser("fit", help="fit endowment laws to a table of observations and write the market")
    command.add_argument("data", type=Path, help="text file with one row for each observation, or .xlsx")
    command.add_argument("--column", required=True, help="column of observed endowments; empty cells are missing")
    command.add_argument("--group-column", help="one group of traders for each of its values")
    command.add_argument("--weights-column", help="how often each row was seen")
    command.add_argument("--family", default="truncated_normal", help="law of every group, as in jaxmech.fit; or best")
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
    command.add_argument("--out", required=True, type=Path, help="the market's TOML file")
    command.set_defaults(run=_run)


def _of_group(kind):
    """What reads 3 as (None, 3) and dealer=3 as ("dealer", 3)."""

    def pair(text):
        group, mark, number = text.rpartition("=")
        try:
            return (group if mark else None), kind(number)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise ArgumentTypeError(f"{text!r}: give {wanted}, or GROUP={wanted.split()[-1].upper()}") from None

    return pair


def _run(options):
    from jaxmech.estimation.market_from_table import COUNT, RISK_CAPACITY, fit_market

    if options.delimiter == "\\t":
        options.delimiter = "\t"
    names = ("group_column", "weights_column", "family", "out", *_FORMAT, "missing")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    assumed = {"count": COUNT, "risk_capacity": RISK_CAPACITY, "lower": None, "upper": None}
    given |= {name: {None: value, **dict(getattr(options, name))} for name, value in assumed.items()}
    found = fit_market(options.data, options.column, **given)
    print(found.report())
    for group, reason in found.refused.items():
        print(f"jaxmech: group {group} is left out: {reason}", file=sys.stderr)
    say_written([options.out])
    return 1 if found.refused else 0
