"""A market in one file that opens in any browser, without a server and without a network, with sliders."""

import datetime
import json
import platform
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import jax
import numpy as np

from jaxmech.arrays import on_host
from jaxmech.explorer.grid import HALVINGS, SAFETY, Grid, grid_of, logarithmic
from jaxmech.explorer.knobs import Knob, knob_at
from jaxmech.explorer.model import Model
from jaxmech.explorer.state import State
from jaxmech.inputs import AnyPath, MarketError, file_to_write, one_number, shown
from jaxmech.market.market import Market, checked_market
from jaxmech.market.parameters import group_entries
from jaxmech.plain import brief, plain

LARGEST = 5_000_000  # bytes
_METHOD = """
The optimal direct mechanism of Chen, “Optimal Design of a Financial Exchange”, at each node of a grid in the effective
weight w on revenue and in the numbers that have sliders. Every node is an optimum of its own, certified by weak
duality, participation, monotonicity and an independent quadrature. Between nodes revenue and efficiency follow from the
quintic through values, slopes and curvatures of H(w) = max wR + (1 − w)A; everything else, and the numbers with
sliders, from polynomials through Chebyshev nodes. The errors that are told are {safety:g} times the largest found at
{places} random places between the nodes, where the solver was asked again. Payments are those of a double auction with
side payments that implements the mechanism. Money and holding costs share one unit.
"""


def report(
    market: Market,
    path: AnyPath,
    alpha: float = 0.5,
    over: Mapping[str, tuple[float, float]] | None = None,
    title: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write a market's report: one HTML file with sliders for α and up to two numbers of the market.

    Nothing in it comes from elsewhere, and nothing leaves it. Numbers are certified at the nodes of a grid and
    interpolated between them; how large an error that makes is measured and told.

    Args:
      market: a Market, no batch, without welfare weights, of at most 8 groups.
      path: where to write it.
      alpha: where the slider starts, in [0, 1].
      over: ranges of up to two numbers, named as in `sweep`: {"all.risk_capacity.factor": (0.5, 2.0)}, which is what
        it is if not given. Where a slider starts, the market's own value, must lie in its range.
      title: of the page.
      provenance: where the market comes from, texts by name.

    Returns:
      The path.

    Raises:
      MarketError: a market, range or path that cannot be, or a node without a certified optimum.
    """
    file = file_to_write("path", path)
    if file is None:
        raise MarketError("path is None; give the file to write")
    if not isinstance(title, str | None):
        raise MarketError(f"title is {shown(title)}; give a text")
    if not isinstance(provenance, Mapping | None):
        raise MarketError(f"provenance is {shown(provenance)}; give texts by name")
    alpha = one_number("alpha", alpha, "one number in [0, 1]", 0.0, 1.0)
    knobs = _knobs(checked_market(market), {"all.risk_capacity.factor": (0.5, 2.0)} if over is None else over)
    model = Model(market, besides=())  # refuses what does not fit on a page
    grid = grid_of(market, knobs)
    start = model.answer(State("alpha", alpha), ("sensitivity", "outside_cost"))
    text = _page(grid, alpha, start, title or f"Optimal exchange: {', '.join(market.names)}", provenance or {})
    if len(text.encode()) > LARGEST:
        raise MarketError(f"the report has {len(text.encode()):,} bytes, more than {LARGEST:,}; vary fewer numbers")
    file.write_text(text, encoding="utf-8")
    return file


def _knobs(market, over):
    if not isinstance(over, Mapping):
        raise MarketError(
            f"over is {shown(over)}; give ranges by name, such as {{'all.risk_capacity.factor': (0.5, 2.0)}}"
        )
    knobs = []
    for name, ends in over.items():
        try:
            low, high = map(float, ends)
        except (TypeError, ValueError):
            raise MarketError(f"{name}: the range is {shown(ends)}; give two numbers, the smaller one first") from None
        knob = knob_at(market, name, low, high)
        knob.checked(knob.value)
        knobs.append(knob)
    return knobs


def _page(grid: Grid, alpha, start, title, provenance) -> str:
    """The file."""
    made = {
        **{str(name): value if isinstance(value, str) else brief(value) for name, value in provenance.items()},
        "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "nodes": f"{len(grid.weights)} weights" + "".join(f" × {len(nodes)}" for nodes in grid.settings),
    }
    method = _METHOD.strip().format(safety=SAFETY, places=grid.held_out)
    kept = {"kind": "file", "connect": "'none'", "kept": "nothing leaves this file"}
    return framed("file.js", title, grid.market, method, made, _data(grid, alpha, start), kept)


def framed(
    script: str,
    title: str,
    market: Market,
    method: str,
    provenance: Mapping[str, str],
    data: Mapping[str, Any],
    words: Mapping[str, str],
) -> str:
    """A page with its script and style inside; of what it is told nothing becomes markup."""
    files = resources.files("jaxmech.explorer") / "page"
    names = ("page.html", "page.css", "pictures.js", script)
    frame, style, *scripts = ((files / name).read_text("utf-8") for name in names)
    from jaxmech import __version__

    versions = {"jaxmech": __version__, "jax": jax.__version__, "numpy": np.__version__}
    made = {
        **provenance,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "machine": f"Python {platform.python_version()}, {market.risk_capacity.dtype}",
    }
    return Template(frame).substitute(
        title=escape(title),
        style=style,
        script="\n".join(scripts),
        data=json.dumps(plain(data), allow_nan=False).replace("<", "\\u003c"),
        method=escape(method),
        market=_market_table(market),
        provenance="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in made.items()),
        **words,
    )


def _data(grid, alpha, start):
    """What the page computes from."""
    sizes = [[[name, int(np.prod(shape))] for name, shape in spec.items()] for spec in (grid.spec, grid.flat_spec)]
    return {
        "names": list(grid.market.names),
        "alpha": alpha,
        "least": grid.minimum_revenue,
        "halvings": HALVINGS,
        "knobs": [_knob(knob) for knob in grid.knobs],
        "weights": plain(grid.weights),
        "settings": plain(grid.settings),
        "spec": sizes[0],
        "flatSpec": sizes[1],
        "money": _text(grid.money, "<f8"),
        "table": _text(grid.table, "<f4"),
        "flat": _text(grid.flat, "<f4"),
        "bounds": grid.bounds,
        "heldOut": grid.held_out,
        "safety": SAFETY,
        "fixed": ", at the start",
        "series": start.get("series", {}),
        "sentences": start.get("sentences", {}),
    }


def _knob(knob: Knob):
    names = ("name", "unit", "low", "high", "value")
    whole = knob.parameter.field == "count" and not knob.parameter.factor
    return {name: getattr(knob, name) for name in names} | {"whole": whole, "logarithmic": logarithmic(knob)}


def _text(array, kind):
    return b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()


def _market_table(market):
    """The market's numbers, a row a group."""
    rows = []
    for name, row in zip(market.names, group_entries(on_host(market)), strict=True):
        cells = "".join(f"<td>{escape(field)} {escape(brief(value))}</td>" for field, value in row.items())
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return f"<table><tbody>{''.join(rows)}</tbody></table>"
