"""Packages of an extra that are not installed are named with what to install."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import jaxmech as jm
from jaxmech.extras import MissingExtra, extra

PACKAGE = Path(jm.__file__).parent
EXTRAS = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
# The import names of what each extra brings, with what comes along with it.
BROUGHT = {
    "data": {"xarray", "pandas", "zarr", "h5netcdf", "h5py", "tqdm", "narwhals", "openpyxl"},
    "dask": {"distributed", "dask"},
    "plot": {"matplotlib"},
    "global": {"SALib", "pandas", "tqdm"},
}


def imports(node):
    for inner in ast.walk(node):
        if isinstance(inner, ast.ImportFrom | ast.Import):
            names = [inner.module] if isinstance(inner, ast.ImportFrom) else [alias.name for alias in inner.names]
            yield from ((inner, name.split(".")[0]) for name in names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_every_import_of_an_extra_says_which_one_it_is_of(path):
    tree, said = ast.parse(path.read_text()), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            said |= {inner for inner, _ in imports(node)}  # not when it runs
        if isinstance(node, ast.With) and ast.unparse(node.items[0]).startswith("extra("):
            name = node.items[0].context_expr.args[0].value
            for inner, package in imports(node):
                assert package in BROUGHT[name], f"line {inner.lineno}: {package} is not in the extra {name}"
                said.add(inner)
    bare = {package for inner, package in imports(tree) if inner not in said} & set().union(*BROUGHT.values())
    assert not bare


def test_what_the_errors_say_to_install_is_what_pyproject_offers():
    assert set(BROUGHT) | {"test", "docs"} == set(EXTRAS)
    for name, packages in BROUGHT.items():
        listed = {line.split(">=")[0] for line in EXTRAS[name]}
        assert listed <= packages


def test_a_missing_package_is_an_import_error_with_its_remedy():
    said = 'nowhere_at_all is not installed; pip install "jaxmech\\[data\\]"'
    with pytest.raises(ImportError, match=said) as caught, extra("data"):
        import nowhere_at_all  # noqa: F401
    assert isinstance(caught.value, MissingExtra) and caught.value.name == "nowhere_at_all"


WITHOUT = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
from jaxmech.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "name", "command"),
    [
        ("tqdm", "data", ["sweep", "spec.toml", "--out", "out"]),
        ("matplotlib", "plot", ["frontier", "market.toml", "--out", "out"]),
    ],
)
def test_the_command_says_what_to_install(tmp_path, missing, name, command):
    (tmp_path / "market.toml").write_text(
        '[[traders]]\ncount = 3\nrisk_capacity = 1.0\nendowment = { law = "uniform", lower = -1.0, upper = 1.0 }\n'
    )
    (tmp_path / "spec.toml").write_text('market = "market.toml"\nalpha = [0.0, 0.5]\n')
    run = [sys.executable, "-c", WITHOUT, missing, *command]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2, done.stderr
    assert f'jaxmech: {missing} is not installed; pip install "jaxmech[{name}]"' in done.stderr


@pytest.mark.slow
def test_a_table_prints_as_text_in_a_notebook_without_pandas(monkeypatch):
    found = jm.sensitivity(jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 3, "<b>")), 0.5)
    assert np.isfinite(found.value).all()
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert found._repr_html_().startswith("<pre>") and "&lt;b&gt;.count" in found._repr_html_()
    with pytest.raises(MissingExtra, match="pandas"):
        found.to_dataframe()
