"""The package stays small and its imports point one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxmech

PACKAGE = Path(jaxmech.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the bottom up: a room may import what lies below it, and itself.
LAYERS = (
    ("_moved", "extras", "plain", "arrays", "programs", "inputs", "cells", "compile_cache", "numerics"),
    ("endowments",),
    ("market",),
    ("optimum",),
    ("auctions", "derivatives"),
    ("sweep", "estimation"),
    ("reports",),
    ("explorer",),
    ("",),
    ("cli", "testing"),
)
RANKS = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
LONGEST_FILE, LONGEST_FUNCTION = 400, 45


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module):
    return module.partition(".")[0]


def imported(path, inside=False):
    """Modules of the package that a file imports as it is loaded; with `inside`, those that its functions, or only
    type checkers, import."""
    tree = ast.parse(path.read_text())
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) or for_checkers(node)]
    late = {id(node) for block in blocks for node in ast.walk(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import) and (id(node) in late) == inside:
            assert getattr(node, "level", 0) == 0, f"{path}: imports are absolute"
            for alias in node.names:
                module = f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
                while module.startswith("jaxmech.") and not is_module(module):
                    module = module.rpartition(".")[0]
                if room_of(module) == "jaxmech":
                    yield module.partition(".")[2]


def for_checkers(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def is_module(name):
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_downwards(path):
    room = room_of(name_of(path))
    for module in imported(path):
        below = room_of(module)
        base = RANKS[below] == RANKS[room] == 0
        assert below == room or base or RANKS[below] < RANKS[room], f"{name_of(path)} imports {module}"
    for module in imported(path, inside=True):
        # Results are drawn by what lies above them, when they are asked to be; the face tells the version.
        below = room_of(module)
        late = below in (room, "reports", "") or RANKS[below] <= RANKS[room]
        assert late, f"{name_of(path)} imports {module}"


def test_no_module_imports_itself_by_way_of_others():
    graph = {name_of(path): set(imported(path)) for path in FILES}
    done = set()
    while ready := {name for name, needed in graph.items() if name not in done and needed - {name} <= done}:
        done |= ready
    assert done == set(graph), sorted(set(graph) - done)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
            code = sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines)
            length = code - len([line for line in (ast.get_docstring(node) or "").splitlines() if line])
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines of code"


HEAVY = {
    "xarray",
    "zarr",
    "h5netcdf",
    "matplotlib",
    "narwhals",
    "openpyxl",
    "tqdm",
    "scipy",
    "pandas",
    "SALib",
    "multiprocess",
    "distributed",
    "optax",
}


def printed(code, *arguments):
    """What a new process prints."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_loads_nothing_heavy_but_jax():
    loaded = printed("import sys, jax; before = set(sys.modules); import jaxmech; print(*set(sys.modules) - before)")
    assert not {name.split(".")[0] for name in loaded.split()} & HEAVY


def test_importing_the_package_starts_no_device_and_changes_no_setting():
    code = """
import jax
before = dict(jax.config.values)
import jaxmech, jaxmech.cli
print(jax.config.values == before)
jax.config.update("jax_num_cpu_devices", 3)  # an error once a device has started, as anything computed would
print(jax.device_count("cpu"))
"""
    assert printed(code).split() == ["True", "3"]


@pytest.mark.slow
def test_solving_a_market_from_the_command_line_loads_nothing_heavy_but_jax():
    code = "import sys; from jaxmech.cli import main; assert main(sys.argv[1:]) == 0; print(); print(*sys.modules)"
    market = PACKAGE.parent / "experiments" / "markets" / "two_groups.toml"
    loaded = printed(code, "solve", str(market), "--alpha", "0.5").splitlines()[-1]
    assert not {name.split(".")[0] for name in loaded.split()} & HEAVY
