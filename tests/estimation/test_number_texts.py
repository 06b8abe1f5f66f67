"""Numbers as people write them: what they say, and what is refused because it could say two things."""

import numpy as np
import pytest

from jaxmech.estimation.number_texts import numbers_of

READ = {
    "plain": (["1.5", "-2", "+3", "1e3", ".5", "5.", "-2.5E-1"], [1.5, -2, 3, 1000, 0.5, 5, -0.25]),
    "gaps": (["1", "", " ", "NA", "#N/A", "n/a", "-", "—", ".", "null", "\u00a0"], [1] + [np.nan] * 10),
    "accounting": (["(198)", "( 1.5 )", "\u22127", "$ (3)", "($4)"], [-198, -1.5, -7, -3, -4]),
    "currency": (["$5", "-$5", "$-5", "5 $", "$ 1,956.50"], [5, -5, -5, 5, 1956.5]),
    "thousands by commas": (["1,956", "0.5"], [1956, 0.5]),
    "thousands twice": (["1,956,000"], [1956000]),
    "thousands by points": (["1.956,5", "1.956"], [1956.5, 1956]),
    "thousands by blanks": (["1 956", "2\u202f000,5", "1\u00a0000\u00a0000"], [1956, 2000.5, 1e6]),
    "thousands by apostrophes": (["1'956.5", "1’000"], [1956.5, 1000]),
    "decimal comma": (["0,5", "1,956", "12"], [0.5, 1.956, 12]),
    "three decimals below one": (["0.123", "1.956"], [0.123, 1.956]),
    "either mark says the same": (["12", "1 000"], [12, 1000]),
}


@pytest.mark.parametrize("name", READ)
def test_numbers_are_read_as_they_are_meant(name):
    texts, expected = READ[name]
    found = numbers_of(dict(enumerate(texts)))
    assert not found.wrong
    np.testing.assert_array_equal([found.values[k] for k in range(len(texts))], expected)


NO_NUMBERS = ["much", "True", "2024-01-05", "05.01.2024", "12:30", "1_000", "١٢", "inf", "0x10", "12%", "5 EUR"]
NO_NUMBERS += ["$5€", "5)", "(5", "(-5)", "1,95,600", "1 2", "#REF!", "--5", "5-", "1,956,00", "1.2.3", "e5", "'5"]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_is_refused_and_the_others_are_read(text):
    found = numbers_of({0: "0.5", 1: text})
    assert found.wrong == {1: f"is {text!r}, not a number; leave it empty if unknown"}
    assert found.values == {0: 0.5}


@pytest.mark.parametrize("texts", [["1,956"], ["1.956", "12"], ["(1,956)", "", "-2,500"], ["$1.000"]])
def test_marked_numbers_that_are_thousands_or_decimals_are_refused_with_the_option_to_give(texts):
    texts = dict(enumerate(texts))
    doubt = numbers_of(texts).wrong[0]
    assert "no other number tells which: give decimal '.' or decimal ','" in doubt
    for decimal in ".,":
        found = numbers_of(texts, decimal=decimal)
        assert not found.wrong
        assert f"{found.values[0]:.17g}" in doubt


def test_a_mark_that_is_given_settles_the_other():
    for marks, expected in (
        ({"decimal": "."}, 1956),
        ({"decimal": ","}, 1.956),
        ({"thousands": ","}, 1956),
        ({"thousands": "."}, 1.956),
        ({"thousands": ""}, 1.956),
    ):
        assert numbers_of({0: "1,956"}, **marks).values == {0: expected}
    assert numbers_of({0: "1.956"}, thousands="'").wrong == {}


def test_the_mark_is_that_of_most_and_the_others_are_named():
    found = numbers_of({0: "1.5", 1: "2,5", 2: "3,5"})
    assert found.wrong == {0: "is '1.5', not a number where the decimal mark is ',', as elsewhere in the table"}
    assert found.decimal == ","


def test_infinite_numbers_and_two_currencies_are_refused():
    assert numbers_of({0: "1e999"}).wrong == {0: "is '1e999', infinite; leave it empty if unknown"}
    assert "-1e999" in numbers_of({0: "-1e999"}).wrong[0]
    assert "in another currency" in numbers_of({0: "$5", 1: "€5"}).wrong[1]


def test_what_was_left_out_is_told():
    assert numbers_of({0: "$1,956.5"})[2:] == (".", ("thousands ','", "currency $ left out"))
    assert numbers_of({0: "1 956"})[2:] == (None, ("thousands ' '",))
    assert numbers_of({0: "12", 1: ""})[2:] == (None, ())


def test_other_texts_can_mean_a_gap():
    found = numbers_of({0: "K.A.", 1: "5", 2: ""}, missing=("k.A. ",))
    assert np.isnan([found.values[0], found.values[2]]).all() and found.values[1] == 5
