"""The documents agree with the code: the map of equations, the errata, the sections that docstrings cite, the links."""

import ast
import importlib
import re
from pathlib import Path
from typing import NamedTuple

import pytest

import jaxmech

ROOT = Path(__file__).parent.parent
PACKAGE = Path(jaxmech.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EQUATIONS, ERRATA = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("equations", "errata"))

NAMED = r"(Lemma|Theorem|Corollary|Proposition|Example|Condition) (\d+(?:\.\d+)?)"
RANGE = r"\(\d+\)(?:–\(\d+\))?"
CITED_EQUATIONS = rf"Eq\.\s+({RANGE}(?:(?:, | and |, and ){RANGE})*)"
CITED_ERRATA = r"errat(?:um|a)\s+(E\d+(?:(?:–|, | and )E\d+)*)"


def spread(text, number):
    """The numbers of '(14), (16)–(18)' or 'E1–E3', where `number` is the pattern of one, its digits grouped."""
    found = set()
    for first, last in re.findall(rf"{number}(?:–{number})?", text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def equations_in(text):
    return {f"({number})" for number in spread(text, r"\((\d+)\)")}


def names_in(text):
    return {" ".join(match) for match in re.findall(NAMED, text)}


def errata_in(text):
    return {f"E{number}" for number in spread(text, r"E(\d+)")}


def cited_equations(docstring):
    return set().union(*(equations_in(group) for group in re.findall(CITED_EQUATIONS, docstring)))


def cited_errata(docstring):
    return set().union(*(errata_in(group) for group in re.findall(CITED_ERRATA, docstring)))


def cited(docstring):
    """The statements of the paper that a docstring cites: {'(12)', 'Lemma 3', …}."""
    return cited_equations(docstring) | names_in(docstring)


def documented(node, prefix):
    """(dotted name, docstring) of every function and class below a node of the syntax tree."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            name = f"{prefix}.{child.name}".lstrip(".")
            yield name, ast.get_docstring(child) or ""
            yield from documented(child, name)


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


DOCSTRINGS = {
    name: docstring
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.parent.name != "testing"  # independent solutions, not homes of equations
    for name, docstring in documented(ast.parse(path.read_text()), module_name(path))
}


class Row(NamedTuple):
    """One line of the map."""

    says: str
    statements: set
    functions: list
    errata: set
    tests: list


def row_of(line):
    """A row of the map, or of the table below it, which names no statement and no erratum."""
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    paper, says, functions, errata, tests = cells if len(cells) == 5 else ["", *cells[:2], "", cells[2]]
    statements = equations_in(paper) | names_in(paper)
    return Row(says, statements, re.findall(r"`([\w.]+)`", functions), errata_in(errata), re.findall(r"`(.+?)`", tests))


ROWS = [row_of(line) for line in re.findall(r"^\|.*", EQUATIONS, re.M) if "|---" not in line]
FUNCTIONS = sorted({name for row in ROWS for name in row.functions})
TESTS = sorted({name for row in ROWS for name in row.tests})
NUMBERED = [f"({number})" for number in range(1, 31)]
NAMES = ["Lemma 1", "Lemma 2", "Lemma 3", "Lemma 4", "Theorem 1", "Theorem 2", "Theorem 3", "Theorem 4"]
NAMES += ["Corollary 1.1", "Corollary 1.2", "Proposition 1", "Example 1", "Condition 1", "Condition 2"]


def test_the_map_has_every_statement_of_the_paper():
    assert set().union(*(row.statements for row in ROWS)) == {*NUMBERED, *NAMES}


def test_the_equations_of_the_map_are_in_order():
    places = [NUMBERED.index(statement) for row in ROWS for statement in sorted(row.statements) if "(" in statement]
    assert places == sorted(places)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_the_map_exists(name):
    parts = name.split(".")
    split = max(k for k in range(1, len(parts)) if (PACKAGE / Path(*parts[:k])).with_suffix(".py").is_file())
    found = importlib.import_module(".".join(["jaxmech", *parts[:split]]))
    for part in parts[split:]:
        found = getattr(found, part)
    assert DOCSTRINGS[name], f"{name} has no docstring"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_every_function_of_the_map_cites_the_statement_it_stands_beside(row):
    for name in row.functions:
        missing = row.statements - cited(DOCSTRINGS[name])
        assert not missing, f"the docstring of {name} does not cite {missing}"
    if row.functions:
        missing = row.errata - set().union(*(cited_errata(DOCSTRINGS[name]) for name in row.functions))
        assert not missing, f"no docstring of {row.functions} cites {missing}"


@pytest.mark.parametrize("name", sorted(name for name, text in DOCSTRINGS.items() if cited(text) | cited_errata(text)))
def test_every_citation_in_a_docstring_is_in_the_map(name):
    rows = [row for row in ROWS if name in row.functions]
    mapped = set().union(*(row.statements | row.errata for row in rows))
    missing = (cited(DOCSTRINGS[name]) | cited_errata(DOCSTRINGS[name])) - mapped
    assert not missing, f"docs/equations.md: {name} is in no row of {missing}"


def test_an_equation_has_one_home():
    """The function whose docstring cites it in its first line."""
    homes = {}
    for name, docstring in DOCSTRINGS.items():
        for equation in cited_equations(docstring.partition("\n")[0]):
            homes.setdefault(equation, []).append(name)
    assert not {equation: names for equation, names in homes.items() if len(names) > 1}


@pytest.mark.parametrize("name", TESTS)
def test_every_test_file_of_the_map_exists(name):
    assert (ROOT / "tests" / name).is_file()


def test_every_erratum_of_a_table_has_its_section():
    sections = set(re.findall(r"^## (E\d+)\.", ERRATA, re.M))
    listed = set(re.findall(r"^\| (E\d+) \|", ERRATA, re.M))
    assert sections == listed
    assert set().union(*(row.errata for row in ROWS)) == sections
    assert set().union(*map(cited_errata, DOCSTRINGS.values())) <= sections


COMMANDS = re.findall(r"python -m pytest (\S+) -k (\"[^\"]+\"|\w+)", ERRATA)


@pytest.mark.parametrize(("file", "expression"), COMMANDS)
def test_every_command_of_the_errata_selects_a_test(file, expression):
    names = [name for name, _ in documented(ast.parse((ROOT / file).read_text()), "") if name.startswith("test_")]

    def selected(name):
        return eval(re.sub(r"\b(?!(?:and|or|not)\b)\w+", lambda word: str(word[0] in name), expression.strip('"')))

    assert any(map(selected, names)), f"no test of {file} matches {expression}"


def test_the_table_of_errata_names_the_tests_of_its_sections():
    table = re.findall(r"^\| E\d.*\| `(.+?)` \|$", ERRATA, re.M)
    assert table == [expression for file, expression in COMMANDS if file == "tests/paper/test_errata.py"]


def anchors(text):
    """Anchors of a page's headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(path.read_text()), f"{page.name}: {target}"


@pytest.mark.parametrize(("page", "cited_as"), [("theory", "theory"), ("beyond_the_paper", "beyond")])
def test_every_section_of_a_page_that_the_code_cites_exists(page, cited_as):
    sections = set(re.findall(r"^## (\d+)\. ", (ROOT / "docs" / f"{page}.md").read_text(), re.M))
    cited = set()
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "experiments").glob("*.py")]:
        for listed in re.findall(rf"{cited_as} (§\d+(?:(?:–|, )§?\d+)*)", path.read_text()):
            cited |= set(re.findall(r"\d+", listed))
            assert set(re.findall(r"\d+", listed)) <= sections, f"{path.name}: {cited_as} {listed}"
    assert cited
