"""Sweeps: one solver over many markets, as a labelled Dataset, in memory or in a store on disk."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from jaxmech.arrays import NumbersLike
from jaxmech.extras import extra
from jaxmech.inputs import AnyPath, MarketError, file_to_write, path_of, whole_number
from jaxmech.market.market import Market
from jaxmech.sweep.completion import repair, stored_sweep, verify
from jaxmech.sweep.dataset import provenance, read_netcdf, to_dataset, write
from jaxmech.sweep.design import Design, Range, make_design
from jaxmech.sweep.engine import STATUS, run
from jaxmech.sweep.files import store_in
from jaxmech.sweep.store import opened

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "STATUS",
    "Design",
    "Range",
    "make_design",
    "open_sweep",
    "provenance",
    "repair",
    "stored_sweep",
    "sweep",
    "verify",
    "write",
]


def sweep(
    market: Market,
    alpha: NumbersLike | Range,
    over: Mapping[str, Any] | None = None,
    *,
    kind: Literal["grid", "zip", "random"] = "grid",
    points: int | None = None,
    seed: int = 0,
    derivatives: bool = False,
    batch: int | None = None,
    progress: bool | None = None,
    path: AnyPath | None = None,
    resume: bool = False,
) -> "xr.Dataset":
    """Solve a market over a design of parameters and label the answers.

    Args:
      market: the market to start from.
      alpha: weight on revenue: a number, values, or a Range in a random design.
      over: values of parameters by name: "GROUP.FIELD" or "GROUP.FIELD.factor", GROUP a name or "all", FIELD a field of
        the law, risk_capacity, count, welfare_weight, outside_gamma, outside_centre, outside_reserve, or of those with
        an OutsideMarket outside_price and outside_cost; "minimum_revenue"; "all.endowment.factor" stretches endowments
        whole. No two may set one number.
      kind: "grid" for all combinations, "zip" for lists read together, "random" for draws from Ranges.
      points: draws of a random design.
      seed: of a random design.
      derivatives: also d revenue and d efficiency to α, κ, counts and all law parameters at each point.
      batch: points a micro-batch; the measured best if not given.
      progress: a bar with rate and remaining time; None shows it on a terminal.
      path: write it there: to .nc at the end, with a warning where that fails; to .zarr chunk by chunk, so that it may
        be larger than memory and goes on after anything, and the Dataset reads from there.
      resume: go on with an unfinished sweep in .zarr.

    Returns:
      xarray.Dataset. `status` says what became of each point; invalid points are NaN and harm no other. Ctrl-C returns
      the chunks that are done, with attribute interrupted = 1. Needs the extra `data`.

    Raises:
      MarketError: bad names, values or ranges, an empty sweep, for a store a Density whose function cannot be imported
        by name; before anything is compiled.
    """
    batch = None if batch is None else whole_number("batch", batch, 1)
    plan = make_design(market, alpha, over, kind, points, seed)
    path, suffix = _checked_path(path, resume)
    if suffix == ".zarr":
        stored_sweep(path, plan, derivatives, batch, resume=resume, progress=progress)
        return open_sweep(path)
    dataset = to_dataset(plan, *run(plan, derivatives, batch, progress))
    if suffix == ".nc":
        try:
            write(dataset, path)
        except Exception as error:  # whatever it is, the answers must not go with it
            remedy = "from jaxmech.sweep import write; write(dataset, PATH) writes it elsewhere"
            warnings.warn(f"{path} was not written: {error}; the Dataset is returned: {remedy}", stacklevel=2)
    return dataset


def _checked_path(path, resume):
    """The path and its ending, None and None where there is none."""
    path = None if path is None else path_of("path", path)
    suffix = None if path is None else path.suffix
    if suffix not in (None, ".nc", ".zarr"):
        raise MarketError(f"path is {path}; give one ending in .nc (netCDF) or .zarr (a store)")
    if suffix == ".nc":
        file_to_write("path", path)
        with extra("data"):
            import h5netcdf  # noqa: F401
    if resume and suffix != ".zarr":
        raise MarketError(f"resume needs a path ending in .zarr, got {path}; only stores can be gone on with")
    return path, suffix


def open_sweep(path: AnyPath) -> "xr.Dataset":
    """The Dataset of a sweep's store, as `sweep` returns it, read from disk when values are asked for.

    Args:
      path: folder of the store, the folder a `jaxmech sweep` wrote it in, or a netCDF file (.nc).

    Returns:
      xarray.Dataset. Points not computed so far, and those of lost, cut or foreign chunks, have status −1 and NaN; what
      is read later sees what was computed since. Attribute interrupted says whether chunks were missing when it was
      opened. Needs the extra `data`.

    Raises:
      MarketError: there is no store, or its header or metadata is damaged; when read, a number with a wrong checksum.
    """
    from jaxmech.sweep.view import stored_dataset

    path = path_of("path", path)
    if path.suffix == ".nc" and path.is_file():
        return read_netcdf(path)
    return stored_dataset(opened(store_in(path)))
