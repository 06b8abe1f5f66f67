"""Numbers written as people and spreadsheets write them, and which of '.' and ',' is their decimal mark."""

import re
import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np

MISSING = frozenset({"", ".", "-", "–", "—", "na", "n/a", "nan", "null", "none", "#n/a", "#na", "<na>", "nat"})
DECIMALS = (".", ",")
THOUSANDS = ("", ",", ".", " ", "'")
_ALIKE = str.maketrans({"−": "-", "’": "'", "\ufeff": None, **dict.fromkeys("\u00a0\u2007\u2009\u202f\t", " ")})
_PARTS = re.compile(r"([^\d.,]*)([\d.,][\d.,' ]*(?:[eE][+-]?\d+)?)([^\d.,]*)", re.ASCII)
_BARE = re.compile(r"(-?)([\d.,]+(?:[eE][+-]?\d+)?)", re.ASCII)
_BEFORE = {"", "+", "-", "¤", "+¤", "¤+", "-¤", "¤-", "(", "(¤", "¤("}
_INFINITE = (np.inf, -np.inf)
_AFTER = {"", "¤", ")", "¤)", ")¤"}


class Numbers(NamedTuple):
    """What texts say. Made by `numbers_of`."""

    values: dict  # by place, NaN where missing
    wrong: dict  # by place: why a text is no number, as words that follow the place
    decimal: str | None  # the mark; None where no text has one that may be it
    said: tuple  # what else to tell: the thousands mark and the currency that were left out


class _Core(NamedTuple):
    body: str  # digits and marks, with an exponent
    negative: bool
    currency: str


def numbers_of(texts, decimal=None, thousands=None, missing=()) -> Numbers:
    """The numbers of one table's texts, read in one way: all of them have the same decimal mark.

    A mark that is not given follows from the texts: it is the one under which all of them are numbers. Understood are
    blanks around, currency signs, (198) for −198, and thousands in groups of three with a mark between them.

    Args:
      texts: by place.
      decimal, thousands, missing: as in `Format`; any mark between thousands but the decimal one if not given.
    """
    gaps = MISSING | {_plain(text).lower() for text in missing}
    cores = {text: _core(_plain(text)) for text in set(texts.values()) if _plain(text).lower() not in gaps}
    decimals = (decimal,) if decimal else [mark for mark in DECIMALS if mark != thousands]
    read = {mark: {text: _value(core, mark, thousands) for text, core in cores.items()} for mark in decimals}
    mark, doubtful = _mark(read)
    wrong = {text: f"not a number{_unlike(read, mark, text)}" for text, value in read[mark].items() if value is None}
    wrong |= {text: "infinite; leave it empty if unknown" for text, value in read[mark].items() if value in _INFINITE}
    wrong |= _mixed(cores)
    places = {place: f"is {text!r}, {wrong[text]}" for place, text in texts.items() if text in wrong}
    first = next((place for place, text in texts.items() if text in doubtful), None)
    if first is not None:
        places[first] = f"is {texts[first]!r}, {doubtful[texts[first]]}"
    values = {place: read[mark].get(text, np.nan) for place, text in texts.items()}
    return Numbers({k: v for k, v in values.items() if v is not None}, places, *_said(cores, mark))


def _plain(text):
    return text.translate(_ALIKE).strip()


def _core(plain):
    """A text without its signs; None where it is no number under any marks."""
    if bare := _BARE.fullmatch(plain):  # as nearly all are, and read in a fraction of the time
        return _Core(bare[2], bare[1] == "-", "")
    signs = [letter for letter in plain if unicodedata.category(letter) == "Sc"]
    parts = _PARTS.fullmatch("".join("¤" if letter in signs else letter for letter in plain))
    if not parts or len(signs) > 1:
        return None
    before, after = (parts[k].replace(" ", "") for k in (1, 3))
    if before not in _BEFORE or after not in _AFTER or ("(" in before) != (")" in after):
        return None
    return _Core(parts[2].strip(), "-" in before or "(" in before, "".join(signs))


@cache
def _grammar(decimal, thousands):
    """What matches a number under these marks."""
    between = "".join(THOUSANDS).replace(decimal, "") if thousands is None else thousands
    point = re.escape(decimal)
    plain = rf"(?:\d+(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"
    groups = rf"|[1-9]\d{{0,2}}([{between}])\d{{3}}(?:\1\d{{3}})*(?:{point}\d*)?" if between else ""
    return re.compile(plain + groups, re.ASCII)


def _value(core, decimal, thousands):
    """The number under these marks, or None."""
    if core is None or not _grammar(decimal, thousands).fullmatch(core.body):
        return None
    whole, point, rest = core.body.partition(decimal)
    return float(re.sub("[,.' ]", "", whole) + point.replace(",", ".") + rest) * (-1 if core.negative else 1)


def _mark(read):
    """The decimal mark under which most are numbers, and why texts are doubtful that differ where both do."""
    failures = {mark: sum(value is None for value in values.values()) for mark, values in read.items()}
    mark = min(read, key=failures.get)
    if len(read) == 1 or len(set(failures.values())) > 1:
        return mark, {}
    (point, by_point), (comma, by_comma) = read.items()
    if any((by_point[text] is None) != (by_comma[text] is None) for text in by_point):
        return mark, {}
    remedy = f"give decimal {point!r} or decimal {comma!r}, whichever it is"
    return mark, {
        text: f"{by_point[text]:.17g} or {by_comma[text]:.17g}, and no other number tells which: {remedy}"
        for text in by_point
        if by_point[text] != by_comma[text]
    }


def _unlike(read, mark, text):
    """Why one is no number that would be one under the other mark."""
    other = any(values[text] is not None for values in read.values())
    return f" where the decimal mark is {mark!r}, as elsewhere in the table" if other else "; leave it empty if unknown"


def _mixed(cores):
    """A text of each currency, where they differ."""
    signs = {core.currency: text for text, core in cores.items() if core and core.currency}
    return dict.fromkeys(signs.values(), "in another currency than others; give one unit") if len(signs) > 1 else {}


def _said(cores, mark):
    """The decimal mark, and notes on what was left out."""
    marks = {letter for core in cores.values() if core for letter in core.body if letter in ".,' "}
    signs = sorted({core.currency for core in cores.values() if core and core.currency})
    notes = [f"thousands {letter!r}" for letter in sorted(marks - {mark})]
    return (mark if marks & set(DECIMALS) else None), (*notes, *(f"currency {sign} left out" for sign in signs))
