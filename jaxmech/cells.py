"""Numbers out of whatever holds them: lists with gaps, masked and nullable arrays, Decimal, quantities.

Nothing becomes a number silently: truth values, dates, texts and quantities with a unit are kept apart, each with its
place.
"""

import datetime
from contextlib import suppress
from decimal import Decimal
from numbers import Real
from typing import NamedTuple

import numpy as np

from jaxmech.inputs import shown

MOST_LISTED = 10
_DATES = datetime.date | datetime.time | datetime.timedelta | np.datetime64 | np.timedelta64


class Cells(NamedTuple):
    """What cells hold. Made by `cells_of`; places count along the flattened array."""

    values: np.ndarray  # floats, shape of the cells; NaN where a cell is empty, a text or wrong
    texts: dict  # by place: cells that are texts
    wrong: dict  # by place: what else is no number, and what to do, as words that follow the place


def cells_of(values) -> Cells:
    """Cells of a list, an array, a masked array, a column of pandas or polars, or a DataArray, of any shape.

    None, NaN, NA, NaT and masked entries are gaps. Quantities without a dimension are numbers.
    """
    values = _bare(values)
    if np.ma.isMaskedArray(values):
        real, gaps = values.dtype.kind in "iuf", np.ma.getmaskarray(values)
        values = np.where(gaps, np.nan if real else None, values.data)
    array = np.atleast_1d(_objects(values) if isinstance(values, list | tuple) else np.asarray(values))
    if array.dtype.kind in "iuf" or array.dtype.name == "bfloat16":
        return Cells(array.astype(float), {}, {})
    flat = list(array.ravel())
    numbers, texts, wrong = np.full(len(flat), np.nan), {}, {}
    for place, cell in enumerate(flat):
        if isinstance(cell, str):
            texts[place] = str(cell)
            continue
        numbers[place], problem = _number(cell)
        if problem:
            wrong[place] = f"is {shown(cell)}, {problem}"
    return Cells(numbers.reshape(array.shape), texts, wrong)


def _objects(values):
    """An array of a list's entries as they are: NumPy makes 1.0 of True beside a float, and text of all beside text."""
    if not any(map(_is_quantity, values)):
        with suppress(ValueError):  # lists of unequal lengths, which are refused one by one
            return np.array(values, dtype=object)
    array = np.empty(len(values), object)
    for place, value in enumerate(values):
        array[place] = value
    return array


def _bare(values):
    """What NumPy may look at without losing a unit or a mask."""
    if hasattr(values, "dims") and hasattr(values, "attrs"):
        values = values.data  # of a DataArray: may be a quantity
    if hasattr(getattr(values, "dtype", None), "units"):
        return list(values)  # a column of quantities
    if _is_quantity(values):
        number, problem = _magnitude(values)
        return [values] if problem else number
    return values


def _is_quantity(value):
    return hasattr(value, "magnitude") or hasattr(value, "to_value")


def _magnitude(quantity):
    problem = "a quantity with a unit; give plain numbers in units of the asset"
    try:
        return quantity.to("dimensionless").magnitude, None
    except (AttributeError, TypeError, ValueError):  # pint: no conversion; others have their own ways
        return np.nan, problem


def is_gap(cell) -> bool:
    """Whether a cell is empty: None, NaN, NA, NaT or masked."""
    if cell is None or cell is np.ma.masked or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(cell, Decimal):
        return cell.is_qnan()
    return isinstance(cell, Real | np.datetime64 | np.timedelta64) and bool(cell != cell)


def _number(cell):
    """(number, what is wrong) of one cell that is no text."""
    if is_gap(cell):
        return np.nan, None
    if isinstance(cell, bool | np.bool_):
        return np.nan, "a truth value, not a number; leave it empty if unknown"
    if isinstance(cell, _DATES):
        return np.nan, "a date or time, not a number; choose another column"
    if _is_quantity(cell):
        return _magnitude(cell)
    with suppress(AttributeError, TypeError, ValueError, OverflowError):
        if isinstance(cell, Real | Decimal) or (np.ndim(cell) == 0 and cell.dtype.kind in "iuf"):
            return float(cell), None
    return np.nan, "not a number; leave it empty if unknown"


def listed(problems) -> str:
    """The first ten, and how many more there are."""
    more = len(problems) - MOST_LISTED
    return "\n  ".join([*problems[:MOST_LISTED], *([f"and {more} more"] if more > 0 else [])])
