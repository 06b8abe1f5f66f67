"""A report is one file that asks for nothing, and its numbers are within the bound it states."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from explorer.browser import asked_for, needs_chromium, opened, text_of

import jaxmech as jm
from jaxmech.cli import main
from jaxmech.explorer.grid import barycentric, grid_of, lobatto, truth
from jaxmech.explorer.knobs import knob_at
from jaxmech.explorer.report import LARGEST
from jaxmech.inputs import MarketError

OVER = {"all.risk_capacity.factor": (0.5, 2.0), "b.upper": (0.8, 1.4)}
MARKET = jm.Market.of(
    jm.Traders(jm.Uniform(-1.0, 1.2), 0.5, 4, "a</script>"), jm.Traders(jm.Uniform(-1.0, 1.0), 1, 3, "b")
)


@pytest.fixture(scope="module")
def grid():
    return grid_of(MARKET, [knob_at(MARKET, name, *ends) for name, ends in OVER.items()])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return jm.report(
        MARKET, tmp_path_factory.mktemp("report") / "report.html", 0.4, OVER, "A & B", {"source": "<b>us</b>"}
    )


def places(size, seed):
    random = np.random.default_rng(seed)
    ends = np.array([(0.0, 1.0), *OVER.values()]).T
    return random.uniform(*ends, (size, 3)).T


def test_between_nodes_numbers_are_within_the_stated_bounds(grid):
    points = places(1000, 7)
    true = truth(grid, points)
    assert np.all(true.pop("certified"))
    found = [grid.at(*map(float, point)) for point in points.T]
    for name, values in true.items():
        off = max(float(np.max(np.abs(at[name] - value))) for at, value in zip(found, values, strict=True))
        assert off <= grid.bounds[name], name
    surplus = float(np.min(true["first_best_surplus"]))
    assert grid.bounds["revenue"] < 1e-4 * surplus and grid.bounds["revenue_by_group"] < 1e-4 * surplus


def test_at_a_node_a_grid_says_what_solve_says(grid):
    scale = float(np.exp(grid.settings[0][2]))
    market = jm.Market.of(
        jm.Traders(jm.Uniform(-1.0, 1.2), 0.5 * scale, 4), jm.Traders(jm.Uniform(-1.0, OVER["b.upper"][1]), scale, 3)
    )
    achieved = jm.outcomes(jm.solve(market, grid.weights[6]))
    found = grid.at(float(grid.weights[6]), scale, OVER["b.upper"][1])
    for name in ("revenue", "efficiency"):
        assert found[name] == pytest.approx(float(getattr(achieved, name)), rel=1e-12)


def test_polynomials_through_chebyshev_nodes_are_exact():
    nodes = lobatto(7, -1.0, 3.0)
    assert nodes[0] == -1.0 and nodes[-1] == 3.0
    for x in (-1.0, 0.3, 2.9):
        assert barycentric(nodes, x) @ nodes**6 == pytest.approx(x**6, rel=1e-12, abs=1e-12)


class Scripts(HTMLParser):
    """What a page asks for, and the tags it has."""

    def __init__(self):
        super().__init__()
        self.asked, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.asked += [value for name, value in attributes if name in ("src", "href", "data", "action", "poster")]


def test_a_report_is_one_small_file_that_asks_for_nothing(page):
    text = page.read_text()
    assert page.stat().st_size <= LARGEST
    read = Scripts()
    read.feed(text)
    assert read.asked == [] and "link" not in read.tags and "iframe" not in read.tags
    assert "default-src 'none'" in text and not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import)\(|eval\(", text)
    assert "<title>A &amp; B</title>" in text and "&lt;b&gt;us&lt;/b&gt;" in text


def test_names_of_groups_do_not_end_the_script(page):
    assert "a</script>" not in page.read_text()


@needs_chromium
def test_what_a_page_asks_for_is_seen(tmp_path):
    asking = tmp_path / "asking.html"
    asking.write_text('<img src="http://example.invalid/picture.png">')
    assert asked_for(opened(f"file://{asking}", tmp_path)[1]) == 1


@needs_chromium
def test_a_browser_interpolates_within_the_bounds_and_asks_for_nothing(page, grid, tmp_path):
    points = places(1000, 8)
    true = truth(grid, points)
    asked = ";".join(",".join(repr(float(x)) for x in point) for point in points.T)
    document, log = opened(f"file://{page}#probe={asked}", tmp_path)
    rows = np.array(json.loads(text_of(document, 'id="probe"')), float)
    for column, name in enumerate(("revenue", "efficiency")):
        assert np.max(np.abs(rows[:, column] - true[name])) <= grid.bounds[name]
    start = 3
    for name, shape in grid.spec.items():
        size = int(np.prod(shape))
        off = np.abs(rows[:, start : start + size] - true[name].reshape(1000, -1))
        assert np.max(off) <= grid.bounds[name], name
        start += size
    assert asked_for(log) == 0


@needs_chromium
@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "numbers=1e999,-1&alpha=NaN", "alpha=';alert(1)//"])
def test_links_are_restored_and_hostile_ones_change_nothing(page, tmp_path, hostile):
    document, _ = opened(f"file://{page}#{hostile}", tmp_path)
    assert "Certified at the nodes" in text_of(document, 'id="status"')
    assert "At α = 0.4 revenue" in document


@needs_chromium
def test_every_picture_has_a_sentence_a_table_and_units(page, tmp_path):
    document, _ = opened(f"file://{page}#alpha=0.7&numbers=1.5,1.1", tmp_path)
    assert "At α = 0.7 revenue" in document and "a&lt;/script&gt;" in document
    figures = re.findall(r"<figure>.*?</figure>", document, re.S)
    assert len(figures) == 6
    for figure in figures:
        assert re.search(r'<svg[^>]*role="img"[^>]*aria-label="[^"]+"', figure)
        assert re.search(r'<figcaption aria-live="polite">[^<]{20,}', figure)
        assert figure.count("<tr>") > 2
        assert re.search(r"money|asset|%", figure)
    assert "NaN" not in document.split("<script")[0] and "undefined" not in document.split("<script")[0]


def test_the_command_writes_a_report_and_names_mistakes(tmp_path, capsys):
    file, out = tmp_path / "market.toml", tmp_path / "report.html"
    group = 'risk_capacity = 1.0\ncount = 3\nendowment = { law = "uniform", lower = -1.0, upper = 1.0 }\n'
    groups = "".join(f'[[traders]]\nname = "{name}"\n{group}' for name in "ab")
    file.write_text(f'name = "two"\n{groups}[provenance]\nsource = "none at all"\n')
    over = ["--over", "all.risk_capacity.factor=0.5,2.0", "--over", "b.upper=0.8,1.4"]
    assert main(["report", str(file), "--out", str(out), *over]) == 0
    assert "none at all" in out.read_text() and "<title>two</title>" in out.read_text()
    for over, said in (
        ("a.count=5,6", "a.count is 3"),
        ("c.count=2,6", "not a parameter"),
        ("a.count=6,2", "the range is"),
    ):
        assert main(["report", str(file), "--out", str(out), "--over", over]) == 2
        assert said in capsys.readouterr().err


def test_what_a_report_cannot_show_is_refused(tmp_path):
    with pytest.raises(MarketError, match="welfare weights"):
        jm.report(jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 1, 3, welfare_weight=0.1)), tmp_path / "a.html")
    with pytest.raises(MarketError, match="at most two"):
        jm.report(MARKET, tmp_path / "a.html", over=OVER | {"b.lower": (-1.2, -0.8)})
    with pytest.raises(MarketError, match="no certified optimum"):
        jm.report(MARKET, tmp_path / "a.html", over={"b.upper": (-2.0, 1.2)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@needs_chromium
def test_where_nothing_earns_the_target_a_report_says_so(tmp_path):
    earned = float(jm.outcomes(jm.solve(MARKET, 1.0)).revenue)
    market = MARKET.earning(earned)
    grid = grid_of(market, [knob_at(market, "all.risk_capacity.factor", 0.5, 2.0)])
    assert grid.at(0.5, 1.1) is None
    held = grid.at(0.0, 0.8)
    assert held["revenue"] == pytest.approx(earned, abs=1e-9)
    page = jm.report(market, tmp_path / "report.html")
    document, _ = opened(f"file://{page}#alpha=0.5&numbers=1.5", tmp_path)
    assert "Infeasible: no mechanism that keeps every type earns" in text_of(document, 'id="status"')
    document, _ = opened(f"file://{page}#alpha=0.5&numbers=0.8", tmp_path)
    assert "Certified at the nodes" in text_of(document, 'id="status"')
