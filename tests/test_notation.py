"""Every name in the table of notation exists in the code, and every section and equation in the theory."""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import jaxmech as jm
from jaxmech.endowments import Law
from jaxmech.optimum.outcomes import Interim
from jaxmech.optimum.target_lines import TargetLine

DOCS = Path(__file__).parents[1] / "docs"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in re.findall(r"^\|.*", (DOCS / "notation.md").read_text(), re.M)
    if "|---" not in line and "| in code |" not in line
]
NAMES = sorted({name for row in ROWS for cell in row for name in re.findall(r"`([\w.]+)`", cell)})
CLASSES = vars(jm) | {"Law": Law, "Interim": Interim, "TargetLine": TargetLine}


def held_by(kind):
    """Names of the fields of a class and of what it computes."""
    return {field.name for field in fields(kind)} | set(dir(kind)) if is_dataclass(kind) else set(dir(kind))


def test_every_row_has_six_cells():
    assert ROWS and all(len(row) == 6 for row in ROWS)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_exists(name):
    owner, _, field = name.partition(".")
    assert field in held_by(CLASSES[owner]) if field else name in jm.__all__


def test_every_outcome_and_every_answer_has_a_letter():
    outcomes = {f"Outcomes.{name}" for name in jm.Outcomes._fields}
    answers = {f"Answers.{name}" for name in set(jm.Answers._fields) - set(jm.Outcomes._fields) - {"error"}}
    assert outcomes | answers <= set(NAMES)


def test_every_place_exists():
    sections = set(re.findall(r"^## (\d+)\. ", (DOCS / "theory.md").read_text(), re.M))
    beyond = set(re.findall(r"^## (\d+)\. ", (DOCS / "beyond_the_paper.md").read_text(), re.M))
    errata = set(re.findall(r"^## (E\d+)\.", (DOCS / "errata.md").read_text(), re.M))
    for *_, place in ROWS:
        assert re.search(r"§|\(\d+\)|Theorem|Lemma", place)
        assert set(re.findall(r"beyond §(\d+)", place)) <= beyond
        assert set(re.findall(r"(?<!beyond )§(\d+)", place)) <= sections
        assert set(re.findall(r"E\d+", place)) <= errata
        assert all(1 <= int(number) <= 30 for number in re.findall(r"\((\d+)\)", place))
