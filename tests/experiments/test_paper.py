"""The page that sets the paper's numbers beside ours."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMITS = ("Figure 3", "Figure 4")  # taken at N = 10⁶


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "experiments")
        yield importlib.import_module("paper")


@pytest.fixture(scope="module")
def claims(script):
    return script.numbers()


def test_every_number_of_the_paper_comes_out(claims):
    for claim in claims:
        tolerance = 5e-7 if claim.where in LIMITS else 1e-12
        assert abs(claim.ours - claim.paper) <= tolerance, claim


def test_the_committed_page_shows_these_numbers(claims):
    rows = re.findall(r"^\| .* \| (\S+) \| (\S+) \| \S+ \|$", (ROOT / "docs" / "reproduction.md").read_text(), re.M)
    shown = [(float(paper), float(ours)) for paper, ours in rows if paper != "paper"]
    assert shown == pytest.approx([pytest.approx((c.paper, c.ours), rel=1e-9, abs=1e-12) for c in claims])


@pytest.mark.exhaustive
def test_page_tables_and_figures_are_written(script, claims, tmp_path, monkeypatch):
    first = script.markets()[0]
    monkeypatch.setattr(script, "markets", lambda: [(*first[:4], first[4][:3])])
    monkeypatch.setattr(script, "numbers", lambda: claims)
    script.main(tmp_path)
    page = (tmp_path / "report.md").read_text()
    pictures = re.findall(r"\((images/.*?)\)", page)
    assert len(pictures) == 4
    for picture in pictures:
        assert (tmp_path / picture).stat().st_size > 10_000
        assert (tmp_path / picture).with_suffix(".pdf").is_file()
    assert (tmp_path / "tables" / "claims.csv").read_text().count("\n") == len(claims) + 1
    assert "double auction, no fee" in (tmp_path / "tables" / "example_1.csv").read_text()
