"""What a result looks like in a terminal, in a notebook and as a table of rows: one rule for all results.

Numbers are listed one a line, arrays that belong to groups, traders or points are the columns of a table, of other
arrays the shape is told. Of a batch each number's least, middle and largest value is shown.
"""

from dataclasses import fields, is_dataclass
from html import escape
from typing import NamedTuple

import jax
import numpy as np

from jaxmech.extras import extra
from jaxmech.plain import brief

_ROWS = 30  # of a longer table the first and the last ones are shown
# The field that has the batch's shape, and how many axes it has without.
_BATCH = {"Mechanism": ("weight", 0), "Outcomes": ("revenue", 0), "Certificate": ("ok", 0), "Market": ("count", 1)}
_DERIVED = {
    "Mechanism": ("budget_multiplier", "binding_interval"),
    "SidePayments": ("curvature", "price_impact"),
    "Frontier": ("alpha",),
}
_HIDDEN = {
    "Market": ("names",),
    "Traders": ("name",),
    "Mechanism": ("ends", "at_ends", "moments", "bunching"),
    "SidePayments": ("design", "columns"),
    "Simulation": ("volume_edges", "volume_counts"),
}


class Sheet(NamedTuple):
    """What is shown of a result."""

    title: str
    numbers: dict  # by name
    index: str  # what the rows are
    rows: list  # their names
    columns: dict  # by name, lists as long as `rows`
    rest: dict  # what else there is, as texts


def sheet(result) -> Sheet:
    """What is shown of a result; nothing of it may be traced."""
    name, held = type(result).__name__, _held(result)
    field, axes = _BATCH.get(name, (None, 0))
    if field and np.ndim(held[field]) > axes:
        return _of_batch(name, held, np.shape(held[field])[axes:])
    numbers = {key: value for key, value in held.items() if np.ndim(value) == 0}
    index, rows = _rows_of(name, result, held)
    columns, rest = {}, {}
    for key, value in held.items():
        if key in numbers:
            continue
        array = np.asarray(value) if not isinstance(value, str) else np.asarray(0)
        if array.shape == (len(rows),):
            columns[key] = array.tolist()
        elif array.shape == (len(rows), 2):
            columns |= {f"{key} from": array[:, 0].tolist(), f"{key} to": array[:, 1].tolist()}
        else:
            rest[key] = brief(value)
    return Sheet(name, numbers, index, rows, columns, rest)


def _held(result):
    """The fields that are shown, and what follows from them, as they are; laws of groups one by one."""
    name = type(result).__name__
    names = [entry.name for entry in fields(result)] if is_dataclass(result) else list(result._fields)
    chosen = [key for key in (*names, *_DERIVED.get(name, ())) if key not in _HIDDEN.get(name, ())]
    held = {key: getattr(result, key) for key in chosen}
    if name in ("Market", "Traders"):
        alone = name == "Traders" or np.ndim(result.count) > 1
        held["endowment"] = brief(result.endowment) if alone else _laws_of(result)
    held = {key: value for key, value in held.items() if not (is_dataclass(value) or hasattr(value, "_fields"))}
    return {key: np.asarray(value) if isinstance(value, jax.Array) else value for key, value in held.items()}


def _laws_of(market):
    """The law of each group in one line."""
    return [
        brief(jax.tree.map(lambda leaf, k=k: np.asarray(leaf)[..., k], law))
        for law, _, groups in market.laws()
        for k in range(groups)
    ]


def _rows_of(name, result, held):
    """What the rows of a result's table are called, and their names."""
    market = result if name == "Market" else getattr(result, "market", None)
    longest = max((len(value) for value in held.values() if np.ndim(value) == 1), default=0)
    if name == "Frontier":
        return "point", list(range(1, longest + 1))
    names = list(getattr(market, "names", ()))
    if len(names) == longest:
        return "group", names
    by_group = any(key.endswith("_by_group") for key in held)
    return ("group" if by_group or market is not None else "row"), list(range(1, longest + 1))


def _of_batch(name, held, shape):
    found = {}
    for key, value in held.items():
        array = np.asarray(value)
        if array.dtype.kind in "fiub" and array.ndim and array.size:
            array = array.astype(float)
            known = array[np.isfinite(array)]
            found[key] = [*(np.quantile(known, [0, 0.5, 1]) if len(known) else [np.nan] * 3), array.size - len(known)]
    columns = dict(
        zip(("least", "middle", "largest", "not finite"), map(list, zip(*found.values(), strict=True)), strict=True)
    )
    return Sheet(f"{name}, a batch of shape {shape}", {}, "", list(found), columns, {})


def _label(name):
    return name.removesuffix("_by_group").replace("_", " ")


def _cell(value):
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    return str(value) if isinstance(value, str | int | np.integer) else brief(value)


def _table(shown):
    """Rows of texts, the head first."""
    head = [shown.index, *map(_label, shown.columns)]
    body = [[str(row), *map(_cell, cells)] for row, *cells in zip(shown.rows, *shown.columns.values(), strict=True)]
    if len(body) > _ROWS:
        body = [*body[: _ROWS // 2], ["…"] * len(head), *body[-_ROWS // 2 :]]
    return [head, *body]


def text(result) -> str:
    """A result on one screen."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(result)):
        return repr(result)
    shown = sheet(result)
    lines, listed = [shown.title], {**{k: _cell(v) for k, v in shown.numbers.items()}, **shown.rest}
    wide = max(map(len, listed), default=0)
    lines += [f"  {_label(name):<{wide}}  {value}" for name, value in listed.items()]
    if shown.columns:
        rows = _table(shown)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [
                f"{row[0]:<{widths[0]}}",
                *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
            lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def html(result) -> str:
    """A result in a notebook."""
    shown = sheet(result)
    listed = {**{k: _cell(v) for k, v in shown.numbers.items()}, **shown.rest}
    parts = [f"<strong>{escape(shown.title)}</strong>"]
    if listed:
        rows = "".join(f"<tr><th>{escape(_label(k))}</th><td>{escape(v)}</td></tr>" for k, v in listed.items())
        parts.append(f"<table>{rows}</table>")
    if shown.columns:
        head, *body = _table(shown)
        cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
        parts.append(f"<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>")
    return "<div>" + "".join(parts) + "</div>"


def dataframe(result):
    """The rows of a result's table, or its numbers as one row. Needs pandas (extra `data`)."""
    with extra("data"):
        import pandas as pd

    shown = sheet(result)
    if not shown.columns:
        return pd.DataFrame([shown.numbers])
    return pd.DataFrame({shown.index or "field": shown.rows} | shown.columns)
