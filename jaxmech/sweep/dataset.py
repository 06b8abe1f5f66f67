"""Results of a sweep as a labelled xarray.Dataset, CF style, and on disk."""

import json
import re
from pathlib import Path
from unicodedata import normalize

import jax
import numpy as np

from jaxmech.extras import extra
from jaxmech.inputs import MarketError
from jaxmech.market.parameters import group_entries, name_parts
from jaxmech.sweep.description import description, spec_hash
from jaxmech.sweep.engine import STATUS

_KEPT_NAME = "original_name"
_LONGEST_NAME = 240  # bytes, of the 256 that netCDF's own library reads
MONEY, _ASSET, _NUMBER = "asset unit² per risk capacity", "asset unit", "1"
OF_MARKET = {  # outcomes of a market as a whole: name in words, unit
    "revenue": ("expected revenue of the exchange", MONEY),
    "efficiency": ("allocative efficiency: minus expected holding costs after trade", MONEY),
    "first_best_efficiency": ("allocative efficiency of the first best", MONEY),
    "first_best_surplus": ("holding costs that the first best saves over no trade", MONEY),
    "weight": ("effective revenue weight w = (α + λ)/(1 + λ)", _NUMBER),
    "budget_weight": ("w*: smallest weight at which the budget balances", _NUMBER),
    "budget_multiplier": ("λ: multiplier of the budget constraint", _NUMBER),
    "no_trade_probability": ("probability that nobody trades", _NUMBER),
}
_LABELS = OF_MARKET | {
    "revenue_by_group": ("expected payments, all traders of the group", MONEY),
    "efficiency_by_group": ("minus expected holding costs after trade, all traders of the group", MONEY),
    "utility_gain_by_group": ("expected utility gain from participating, all traders of the group", MONEY),
    "no_expected_trade_probability": ("probability that a trader of the group expects no trade", _NUMBER),
    "eta": ("η: virtual type of those who expect no trade", _ASSET),
    "binding_lower": ("lower end of the binding interval", _ASSET),
    "binding_upper": ("upper end of the binding interval", _ASSET),
    "largest_revenue": ("most that a mechanism earns that keeps every type, where more was asked for", MONEY),
    "error": ("distance to the solution of the multiplier system, relative", _NUMBER),
    "steps": ("steps of the multiplier solver", _NUMBER),
    "certificate_residual": ("residual of the multiplier system, relative", _NUMBER),
    "certificate_duality_gap": ("duality gap over first-best surplus", _NUMBER),
    "certificate_participation_slack": ("least utility gain over first-best surplus", _NUMBER),
    "certificate_monotonicity_breach": ("largest fall of the virtual type over the width of the support", _NUMBER),
    "certificate_budget_shortfall": ("budget shortfall over first-best surplus", _NUMBER),
}


def to_dataset(design, results, interrupted):
    """Dataset with the swept names as dimensions (or "point") and "group" for arrays by group."""
    shape = tuple(design.dims.values())
    shaped = {name: values.reshape(shape + values.shape[1:]) for name, values in results.items()}
    derivatives = any(name.startswith("d_") for name in results)
    return labelled(design, shaped, interrupted, lambda column: column[np.arange(len(column))], derivatives)


def labelled(design, results, interrupted, column_of, derivatives):
    """The Dataset of arrays by name, or what xarray takes for one, that have the design's dimensions already.

    `column_of` makes such an array of a column with one number a point.
    """
    with extra("data"):
        import xarray as xr

    dims = tuple(design.dims)
    coords = {"group": ("group", list(design.market.names))}
    for name, column in design.columns.items():
        label = "weight on revenue in the objective" if name == "alpha" else _parameter_label(name)
        place, values = (name, column) if design.kind == "grid" else ("point", column_of(column))
        coords[name] = (place, values, {"long_name": label, "units": "1"})
    variables = {}
    for name, values in results.items():
        names = (*dims, "group") if len(values.shape) > len(dims) else dims
        variables[name] = (names, values, _attributes(name))
    return xr.Dataset(variables, coords, provenance(design, derivatives) | {"interrupted": int(interrupted)})


def _parameter_label(name):
    group, field, factor = name_parts(name)
    if not group:
        return field.replace("_", " ") + (" (× market's)" if factor else "")
    owner = "every group" if group == "all" else group
    return f"{field.replace('_', ' ')} of {owner}" + (" (× market's)" if factor else "")


def _attributes(name):
    if name == "status":
        return {
            "long_name": "what became of the point",
            "flag_values": np.array(list(STATUS.values()), np.int8),
            "flag_meanings": " ".join(STATUS),
        }
    if name.startswith("d_"):
        outcome, parameter = name[2:].split("_d_", 1)
        return {"long_name": f"derivative of {outcome} to {parameter.replace('_', ' ')}", "units": f"{MONEY} per unit"}
    return dict(zip(("long_name", "units"), _LABELS[name], strict=True))


def provenance(design, derivatives=False) -> dict:
    """Where numbers come from: market, design and software; `spec` is a hash of the first two."""
    import jaxmech

    families = [type(law).__name__ for law, _, length in design.market.laws() for _ in range(length)]
    groups = zip(design.market.names, families, group_entries(design.market), strict=True)
    market = {group: {"law": law} | {k: float(entry) for k, entry in row.items()} for group, law, row in groups}
    return {
        "Conventions": "CF-1.11",
        "title": "Optimal trading mechanisms over a sweep of parameters",
        "source": f"jaxmech {jaxmech.__version__}, jax {jax.__version__}, {jax.devices()[0].platform}",
        "precision": str(np.dtype(jax.numpy.result_type(float))),
        "market": json.dumps(market),
        "design": design.kind,
        "spec": spec_hash(description(design, derivatives)),
    }


def write(dataset, path):
    """Write a Dataset as netCDF, variable by variable, and return its path; `open_sweep` reads it with all its names.

    Names that netCDF cannot carry are changed in the file, and kept in the attribute `original_name`.

    Raises:
      MarketError: a suffix other than .nc. OSError: the disk refuses; nothing is left half written.
    """
    path = Path(path)
    if path.suffix != ".nc":
        raise MarketError(f"{path}: write Datasets to a path ending in .nc (netCDF); sweep(..., path) also to .zarr")
    with extra("data"):
        import h5netcdf  # noqa: F401
    partial = path.with_name(path.name + ".partial")
    try:
        _with_names_of_netcdf(dataset).to_netcdf(partial, engine="h5netcdf")
        return partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_netcdf(path):
    """The Dataset of a file that `write` wrote, under its own names, read when values are asked for."""
    with extra("data"):
        import xarray as xr

    try:
        dataset = xr.open_dataset(path, engine="h5netcdf")
    except Exception as error:  # whatever HDF5 and xarray find wrong with damaged bytes
        raise MarketError(f"{path}: cannot be read as netCDF: {error}") from None
    changed = {name: held.attrs.pop(_KEPT_NAME) for name, held in dataset.variables.items() if _KEPT_NAME in held.attrs}
    return dataset.rename(changed)


def _with_names_of_netcdf(dataset):
    """The Dataset under names that netCDF, and the convention that lists coordinates in one text, can carry."""
    changed, taken = {}, {"group", "point", *dataset.variables}
    for name in dataset.variables:
        new = re.sub(r"^\W|[/\s]", "_", normalize("NFC", name)).encode()[:_LONGEST_NAME].decode(errors="ignore")
        while new != name and new in taken:
            new += "_"
        taken.add(new)
        changed |= {} if new == name else {name: new}
    renamed = dataset.rename(changed)
    for name, new in changed.items():
        renamed[new] = renamed[new].assign_attrs({_KEPT_NAME: name})
    return renamed
