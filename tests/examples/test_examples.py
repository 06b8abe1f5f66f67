"""Every example answers its question as the gallery shows it, in forty lines, with one assertion and one picture."""

import ast
import importlib
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

import jaxmech as jm
from pictures import problems

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[2] / "docs")
    gallery = importlib.import_module("gallery")

EXAMPLES = gallery.examples()
PAGE = gallery.PAGE.read_text()
LARGEST_PICTURE = 60_000

by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)


def test_designers_regulators_and_researchers_ask_five_questions_each():
    assert [example.asker for example in EXAMPLES] == [asker for asker in gallery.ASKERS for _ in range(5)]


@by_name
def test_an_example_is_short_and_ends_in_its_one_assertion(example):
    tree = ast.parse(example.code)
    assert len(example.code.splitlines()) <= 40
    assert [node for node in ast.walk(tree) if isinstance(node, ast.Assert)] == tree.body[-1:]
    assert "Asserted: " in example.reason


@by_name
def test_an_example_uses_the_public_face_alone(example):
    for node in ast.walk(ast.parse(example.code)):
        if isinstance(node, ast.ImportFrom):
            assert not node.module.startswith("jaxmech")
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")
            if isinstance(node.value, ast.Name) and node.value.id == "jm":
                assert node.attr in jm.__all__


@by_name
def test_the_gallery_has_a_small_picture_of_it(example):
    assert f"### {example.question}\n" in PAGE
    assert 0 < (gallery.PICTURES / f"{example.name}.svg").stat().st_size < LARGEST_PICTURE


@pytest.mark.slow
@by_name
def test_an_example_prints_what_the_gallery_shows_and_draws_one_picture(example, tmp_path, monkeypatch):
    figures, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: [figures.append(figure), save(figure, path)])
    printed = gallery.run(example, tmp_path / "picture.svg")
    plt.close("all")
    assert gallery.section(example, printed) in PAGE
    assert (tmp_path / "picture.svg").stat().st_size
    (figure,) = figures
    assert problems(figure, figure.get_size_inches()[0]) == ([], [])
    for axes in figure.axes[:1]:
        assert axes.get_title() and (axes.get_xlabel() or figure._supxlabel)
