"""The package stays small and its imports point one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxmech

PACKAGE = Path(jaxmech.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the bottom up: a module may import only what stands before it.
ORDER = (
    "memory_maps",
    "extras",
    "plain",
    "pytrees",
    "groups",
    "tangents",
    "batching",
    "bracket",
    "tables",
    "cells",
    "compile_cache",
    "endowments.landmarks",
    "endowments.quantiles",
    "endowments.contract",
    "endowments.draws",
    "endowments.mills",
    "endowments.uniform",
    "endowments.truncated_normal",
    "endowments.beta",
    "endowments.search",
    "endowments.isotonic",
    "endowments.polynomials",
    "endowments.ratio_integrals",
    "endowments.panels",
    "endowments.numerical",
    "endowments.binning",
    "endowments.histogram",
    "endowments.mixture",
    "endowments.density",
    "endowments.triangular",
    "endowments.truncated_exponential",
    "endowments.location_scale",
    "endowments.kumaraswamy",
    "endowments.side_by_side",
    "endowments",
    "checks",
    "prepared",
    "market",
    "curves",
    "hull",
    "bunching",
    "ironing",
    "virtual_types",
    "binding_ends",
    "multipliers",
    "first_best",
    "outcomes",
    "budget",
    "conditions",
    "mechanism",
    "solve",
    "double_auction",
    "closed_forms",
    "cara",
    "columns",
    "side_payments",
    "tabulated",
    "clearing",
    "auction_blocks",
    "simulation",
    "audit",
    "robustness",
    "fees",
    "schedule_moments",
    "simple_schedule",
    "schedule_search",
    "witness",
    "certificate",
    "parameters",
    "answers",
    "named_outcomes",
    "fixed_rule",
    "plots",
    "sensitivity_plots",
    "sensitivity",
    "frontier_trace",
    "frontier_curve",
    "frontier",
    "calibration_report",
    "identification",
    "calibration_problem",
    "calibration_search",
    "calibration",
    "competition",
    "worst_case",
    "robust_design",
    "sweep.progress",
    "sweep.design",
    "sweep.engine",
    "sweep.functions",
    "sweep.description",
    "sweep.files",
    "sweep.layout",
    "sweep.store",
    "sweep.cluster",
    "sweep.completion",
    "sweep.dataset",
    "sweep.view",
    "sweep.spec",
    "sweep",
    "calibration_spec",
    "global_sensitivity",
    "fit_search",
    "fit_families",
    "fit_estimates",
    "fit_densities",
    "fit_diagnostics",
    "fitting",
    "number_texts",
    "observation_files",
    "observations",
    "fit_market",
    "cot_files",
    "cot",
    "cot_market",
    "bands",
    "report",
    "sweep_report",
    "derivative_report",
    "",
    "cli_sweep",
    "cli_cot",
    "cli_fit",
    "cli",
)
LONGEST_FILE, LONGEST_FUNCTION = 400, 45


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path):
    """Modules of the package that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_module_has_its_place():
    assert sorted(ORDER) == sorted(name_of(path) for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_downwards(path):
    place = ORDER.index(name_of(path))
    for module in imported(path):
        if module == "jaxmech":  # for the version
            continue
        if module.split(".")[0] == "jaxmech":
            assert module.removeprefix("jaxmech.") in ORDER[:place], f"{name_of(path)} imports {module}"


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
