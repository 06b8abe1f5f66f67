"""What holds numbers is read whatever it is, and nothing else becomes a number."""

import datetime
from decimal import Decimal
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pint
import polars as pl
import pytest
import xarray as xr

import jaxmech as jm
from jaxmech.cells import cells_of
from jaxmech.endowments.binning import clean_samples

UNITS = pint.UnitRegistry()
EXPECTED = [1.5, np.nan, -2.0]
HOLDERS = {
    "a list with None": [1.5, None, -2],
    "a tuple with NaN": (1.5, np.nan, -2.0),
    "Decimal": [Decimal("1.5"), None, Decimal("-2")],
    "Fraction": [Fraction(3, 2), None, -2],
    "a masked array": np.ma.array([1.5, 99.0, -2.0], mask=[False, True, False]),
    "a masked array of objects": np.ma.array([Decimal("1.5"), 99, -2], mask=[False, True, False]),
    "a Series": pd.Series([1.5, None, -2.0], index=["a", "b", "c"]),
    "a nullable array": pd.array([1.5, pd.NA, -2.0], dtype="Float64"),
    "a nullable Series": pd.Series([1.5, pd.NA, -2.0], dtype="Float64"),
    "objects with NA and NaT": pd.Series([1.5, pd.NA, -2.0], dtype=object),
    "polars": pl.Series([1.5, None, -2.0]),
    "polars' Decimal": pl.Series([Decimal("1.5"), None, Decimal("-2")]),
    "a DataArray": xr.DataArray([1.5, np.nan, -2.0], dims="trader", attrs={"units": "contracts"}),
    "arrays of JAX": [jnp.asarray(1.5), None, jnp.asarray(-2)],
    "a column of half the precision": jnp.asarray([1.5, np.nan, -2.0], jnp.bfloat16),
    "quantities without a dimension": [150 * UNITS.percent, None, -2 * UNITS.dimensionless],
    "an array of percents": np.array([150.0, np.nan, -200.0]) * UNITS.percent,
    "a DataArray of percents": xr.DataArray(np.array([150.0, np.nan, -200.0]) * UNITS.percent, dims="trader"),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_numbers_and_gaps_are_read(name):
    found = cells_of(HOLDERS[name])
    np.testing.assert_array_equal(found.values, EXPECTED)
    assert not found.texts and not found.wrong


def test_whole_numbers_with_gaps_are_read():
    for holder in (pd.array([1, pd.NA, -2], dtype="Int64"), np.ma.array([1, 9, -2], mask=[0, 1, 0])):
        np.testing.assert_array_equal(cells_of(holder).values, [1, np.nan, -2])


def test_the_shape_is_kept():
    np.testing.assert_array_equal(cells_of([[1, None], [2, 3]]).values, [[1, np.nan], [2, 3]])


class Column(list):
    """A column of quantities, as extensions of pandas have them."""

    class dtype:
        units = "lot"


WRONG = {
    "is True, a truth value": [1.0, True],
    "is np.True_, a truth value": np.array([False, True]),
    "is True, a truth value, not": pd.array([None, True], dtype="boolean"),
    "datetime.date.2024, 1, 5., a date or time": [1.0, datetime.date(2024, 1, 5)],
    "'2024-01-05.*, a date or time": np.array(["NaT", "2024-01-05"], "M8[ns]"),
    "timedelta64.*, a date or time": np.array([3, 4], "m8[ns]"),
    "Timestamp.*, a date or time": pd.Series([None, pd.Timestamp("2024-01-05")], dtype=object),
    "is 1j, not a number": [1.0, 1j],
    r"is \[2, 3\], not a number": [[1], [2, 3]],
    "sNaN.*, not a number": [1.0, Decimal("sNaN")],
    "an integer of more than 64 bits, not a number": [1.0, 10**400],
    "is <Quantity.* a quantity with a unit": [1.0, 2 * UNITS.kilogram],
    "kilogram.*a quantity with a unit": Column([1.0, 2 * UNITS.kilogram]),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_no_number_is_kept_apart_with_its_place(message):
    with pytest.raises(jm.MarketError, match=rf"samples\[1\] {message}|samples\[1\] is .*{message}"):
        clean_samples(WRONG[message])


def test_an_array_with_a_unit_is_refused():
    for holder in ([1.0, 2.0] * UNITS.kilogram, xr.DataArray([1.0, 2.0] * UNITS.kilogram)):
        with pytest.raises(jm.MarketError, match=r"kilogram.*a quantity with a unit; give plain numbers"):
            clean_samples(holder)


def test_a_bad_sample_or_weight_is_named_by_place_and_value():
    two = r"missing ones:\n  samples\[2\] is '0.5', a text\n  samples\[3\] is 'x', a text$"
    with pytest.raises(jm.MarketError, match=two):
        clean_samples([1.0, None, "0.5", "x"])
    with pytest.raises(jm.MarketError, match=r"samples\[1, 0\] is 'x'"):
        clean_samples([[1.0, 2.0], ["x", 3.0]])
    with pytest.raises(jm.MarketError, match=r"1 are infinite, the first samples\[1\], -inf"):
        clean_samples([1.0, -np.inf])
    with pytest.raises(jm.MarketError, match=r"weights\[2\]: -3 is negative"):
        clean_samples([1.0, None, 2.0], [1, -1, -3])
    with pytest.raises(jm.MarketError, match=r"some are not finite, the first weights\[2\], nan"):
        clean_samples([1.0, None, 2.0], [1, None, None])


def test_of_many_problems_ten_are_listed_and_the_rest_counted():
    with pytest.raises(jm.MarketError) as refused:
        clean_samples(["x"] * 47)
    assert str(refused.value).count("is 'x'") == 10 and str(refused.value).endswith("and 37 more")
