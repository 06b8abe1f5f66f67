"""Observed endowments with their groups and weights, out of files, DataFrames, dictionaries and Datasets."""

from collections.abc import Hashable, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmech.cells import cells_of, is_gap, listed
from jaxmech.estimation.number_texts import numbers_of
from jaxmech.estimation.observation_files import Format, file_rows
from jaxmech.extras import extra
from jaxmech.inputs import MarketError, shown

_OF_FILES = ("delimiter", "encoding", "skip_rows", "header_row", "sheet")


class Observations(NamedTuple):
    """Checked columns of a table of n rows. Made by `observations`."""

    values: np.ndarray  # (n,), units of the asset; NaN where missing, never infinite
    weights: np.ndarray | None  # (n,), ≥ 0
    groups: tuple | None  # (n,) names
    name: str  # of the table, without a suffix
    source: str  # what was read: the file's name, or the kind of table
    said: str  # how it was read, in words
    digest: str | None  # SHA-256 of a file's bytes

    def by_group(self):
        """(values, weights or None) by group, in order of appearance; of all as "traders" where there are none."""
        rows = {}
        for row, name in enumerate(self.groups or ("traders",) * self.values.size):
            rows.setdefault(name, []).append(row)
        weights = self.weights
        return {name: (self.values[k], None if weights is None else weights[k]) for name, k in rows.items()}


class _Table(NamedTuple):
    """Columns of equal length as they came."""

    columns: dict  # by name: cells
    place: str  # of a row, with a mark for its number: "line {}"
    numbers: list  # of the rows
    wrong: dict  # by row number: what is wrong with the row as a whole
    name: str
    source: str
    said: tuple
    where: str  # the source as errors name it
    digest: str | None = None


def observations(source, column, group_column=None, weights_column=None, form=None) -> Observations:
    """The columns of a table, every cell of them read or refused.

    Args:
      source: path of a text file or a workbook; a DataFrame that narwhals reads (pandas, polars, PyArrow, …); a
        dictionary of columns; an xarray Dataset, or DataArray of the column's name, coordinates included.
      column: observed endowments.
      group_column: of names, one for each row.
      weights_column: how often each row was seen.
      form: Format; of other tables than files it has marks and missing texts only.

    Raises:
      MarketError: no such table or column, or cells that cannot be read: all of them, each with its line and text.
    """
    form, in_file = Format() if form is None else form, isinstance(source, str | PathLike)
    given = {"column": column, "group_column": group_column, "weights_column": weights_column}
    column, group_column, weights_column = (_one_name(role, name, in_file) for role, name in given.items())
    asked = list(dict.fromkeys(name for name in (column, group_column, weights_column) if name is not None))
    table = _from_file(source, asked, form) if in_file else _from_memory(source, asked, form)
    numeric = [name for name in (column, weights_column) if name is not None]
    numbers, wrong, said = _numbers(table, numeric, form)
    values, weights = numbers[column], None if weights_column is None else numbers[weights_column]
    if weights is not None:
        wrong += [
            (row, weights_column, f"is {weights[row]:g}; give how often the row was seen, or leave the row out")
            for row in np.flatnonzero(~(weights >= 0) & ~np.isnan(values))
            if (row, weights_column) not in {problem[:2] for problem in wrong}
        ]
    groups = None if group_column is None else tuple(map(_group, table.columns[group_column]))
    if groups is not None:
        empty = [row for row, name in enumerate(groups) if not name]
        wrong += [(row, group_column, "is empty; name the group or leave the row out") for row in empty]
    _refuse(table, wrong)
    if values.size == 0:
        raise MarketError(f"{table.where}: no rows; give observations")
    said = "; ".join([f"read {values.size} rows of {table.source}", *table.said, *said, *_alike(groups)])
    return Observations(values, weights, groups, table.name, table.source, said, table.digest)


def _one_name(role, name, in_file):
    """The name of a column, those of files being texts; MarketError for what can be none. Only `column` has to be."""
    if not isinstance(name, Hashable) or (name is None and role == "column"):
        raise MarketError(f"{role} is {shown(name)}; give the name of one column")
    return str(name) if in_file and name is not None else name


def _numbers(table, names, form):
    """The numeric columns, (row, column, what is wrong) of their cells, and how texts were read."""
    cells = {name: cells_of(table.columns[name]) for name in names}
    texts = {(name, row): text for name in names for row, text in cells[name].texts.items()}
    read = numbers_of(texts, form.decimal, form.thousands, form.missing)
    wrong = [(row, name, why) for name in names for row, why in cells[name].wrong.items()]
    wrong += [(row, name, why) for (name, row), why in read.wrong.items()]
    values = {name: cells[name].values for name in names}
    for name, column in values.items():
        if column.ndim != 1:
            raise MarketError(f"{table.where}: {name} has {column.ndim} dimensions; give one number a row")
    for (name, row), value in read.values.items():
        values[name][row] = value
    # A gap written as a number is one however its digits are written, under the table's marks.
    gaps = numbers_of(dict(enumerate(form.missing)), read.decimal or form.decimal, form.thousands).values.values()
    for name, column in values.items():
        column[np.isin(column, [gap for gap in gaps if not np.isnan(gap)])] = np.nan
        typed = [row for row in np.flatnonzero(np.isinf(column)) if row not in cells[name].texts]
        wrong += [(row, name, f"is {column[row]}; leave it empty if unknown") for row in typed]
    said = [] if read.decimal is None else [f"decimal {read.decimal!r}"]
    return values, wrong, [*said, *read.said]


def _refuse(table, wrong):
    """MarketError for all that is wrong, row by row."""
    problems = [(table.numbers[row], f"{name} {why}") for row, name, why in wrong] + list(table.wrong.items())
    lines = [f"{table.place.format(row)}: {why}" for row, why in sorted(problems, key=lambda problem: problem[0])]
    if len(lines) == 1:
        raise MarketError(f"{table.where}, {lines[0]}")
    if lines:
        raise MarketError(f"{table.where}: {len(lines)} problems:\n  {listed(lines)}")


def _alike(groups):
    """What is told of names of groups that may mean the same."""
    names = {}
    for name in dict.fromkeys(groups or ()):
        names.setdefault("".join(name.casefold().split()), []).append(name)
    for same in names.values():
        if len(same) > 1:
            yield f"groups {' and '.join(map(repr, same))} differ in case or blanks alone"


def _group(cell):
    """The name of a group; empty where there is none."""
    if not isinstance(cell, str) and is_gap(cell):
        return ""
    return (cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)).strip()


def _from_file(path, asked, form):
    rows = file_rows(path, asked, form)
    columns = {name: [row[rows.names.index(name)] for row in rows.cells] for name in asked}
    name = Path(path).stem, Path(path).name
    return _Table(columns, "line {}", rows.lines, rows.ragged, *name, rows.said, str(path), rows.digest)


def _from_memory(source, asked, form):
    """The table of what is no file; its rows are counted from 0."""
    for name in _OF_FILES:
        if getattr(form, name) != getattr(Format(), name):
            raise MarketError(f"{name} is for files; leave it out for {_kind(source)}")
    if isinstance(source, Mapping) and not hasattr(source, "dims"):
        _check_columns(source, asked, list(source))
        columns, said = {name: source[name] for name in asked}, ()
    elif hasattr(source, "dims") and hasattr(source, "coords"):
        columns, said = _of_xarray(source, asked)
    else:
        columns, said = _of_frame(source, asked), ()
    lengths = {name: _length(name, column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise MarketError(f"columns of unequal lengths: {said}; give one row for each observation")
    kind = _kind(source)
    return _Table(columns, "row {}", range(max(lengths.values())), {}, "observations", kind, said, kind)


def _kind(source):
    return f"a {type(source).__module__.split('.')[0]} {type(source).__name__}".replace("builtins ", "")


def _length(name, column):
    """Rows of a column; MarketError for what has none: a text, a single number, an array of no dimension."""
    with suppress(TypeError):
        if not isinstance(column, str | bytes):
            return len(column)
    raise MarketError(f"{name} is {shown(column)}; give a list or an array")


def _of_xarray(source, asked):
    with extra("data"):
        import xarray as xr
    if isinstance(source, xr.DataArray):
        source = source.to_dataset(name=asked[0] if source.name is None else source.name)
    _check_columns(source, asked, [*source.data_vars, *source.coords])
    arrays = dict(zip(asked, xr.broadcast(*(source[name] for name in asked)), strict=True))
    said = [f"{name} in {array.attrs['units']}" for name, array in arrays.items() if "units" in array.attrs]
    return {name: array.data.ravel() for name, array in arrays.items()}, tuple(said)


def _of_frame(source, asked):
    with extra("data"):
        import narwhals as nw
    try:
        frame = nw.from_native(source)
        frame = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
        there = list(frame.columns)
    except TypeError:
        called = _kind(source) if hasattr(source, "__len__") else shown(source)
        raise MarketError(f"data is {called}; give a path, a DataFrame, a dictionary of columns or a Dataset") from None
    except ValueError as error:
        raise MarketError(f"{_kind(source)}: columns of one name; rename all but one: {error}") from None
    _check_columns(source, asked, there)
    return {name: frame.get_column(name).to_native() for name in asked}


def _check_columns(source, asked, there):
    for name in asked:
        if name not in there:
            said = f"{_kind(source)}: no column {name!r}; there are {', '.join(map(str, there)) or 'none'}"
            index = name in getattr(getattr(source, "index", None), "names", ())
            raise MarketError(said + ("; it is the index, of which reset_index() makes a column" if index else ""))
