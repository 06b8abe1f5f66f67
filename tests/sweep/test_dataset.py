"""A sweep's Dataset says what every number is and where it comes from, and survives the disk."""

import json
import re
from pathlib import Path
from unicodedata import normalize

import jax
import numpy as np
import pytest
import xarray as xr

import jaxmech as jm
from jaxmech.sweep import STATUS, engine, make_design, open_sweep, provenance, write
from jaxmech.sweep.dataset import to_dataset

MARKET = jm.Market.of(
    jm.Traders(jm.Uniform(-1.0, 1.3), 0.7, 2, "dealer"), jm.Traders(jm.Beta(2.0, 3.0, -0.4, 0.9), 1.1, 1, "fund")
)
OVER = {"fund.risk_capacity": [0.3, 1.0, 3.0], "all.count.factor": [1.0, 2.0]}


def filled(design):
    """Arrays as the engine makes them, full of random numbers: labels need no solver."""
    results = engine._empty_results(design.points, engine.columns_of(design, True))
    generator = np.random.default_rng(6)
    for value in results.values():
        value[...] = generator.uniform(0, 2, value.shape) if value.dtype.kind == "f" else 0
    results["status"][:2] = STATUS["invalid_parameters"], STATUS["not_computed"]
    results["revenue"][:2] = np.nan
    return results


@pytest.fixture(scope="module")
def design():
    return make_design(MARKET, [0.0, 0.5, 0.7, 1.0], OVER)


@pytest.fixture(scope="module")
def results(design):
    return filled(design)


@pytest.fixture(scope="module")
def dataset(design, results):
    return to_dataset(design, results, interrupted=False)


def test_swept_names_are_dimensions_and_groups_a_coordinate(dataset):
    assert dict(dataset.sizes) == {"group": 2, "alpha": 4, "fund.risk_capacity": 3, "all.count.factor": 2}
    assert dataset.revenue.dims == ("alpha", "fund.risk_capacity", "all.count.factor")
    assert dataset.eta.dims == (*dataset.revenue.dims, "group")
    assert dataset.group.values.tolist() == ["dealer", "fund"]
    assert dataset.alpha.values.tolist() == [0.0, 0.5, 0.7, 1.0]


def test_a_value_is_found_under_the_parameters_of_its_point(design, results, dataset):
    place = 11
    values = design.parameter_values(design.market_of(np.array([place])))[:, 0]
    where = {"alpha": float(design.alpha_of(np.array([place]))[0])} | dict(zip(OVER, values, strict=True))
    assert float(dataset.revenue.sel(where)) == results["revenue"][place]
    assert dataset.eta.sel(where).values.tolist() == results["eta"][place].tolist()


def test_lists_and_draws_have_one_dimension_of_points():
    design = make_design(MARKET, [0.1, 0.2, 0.3], {"fund.a": 2.0}, "zip")
    dataset = to_dataset(design, {"revenue": np.arange(3.0), "eta": np.zeros((3, 2))}, interrupted=True)
    assert dataset.revenue.dims == ("point",)
    assert dataset.eta.dims == ("point", "group")
    assert dataset["fund.a"].dims == ("point",)
    assert dataset.attrs["interrupted"] == 1


def test_every_variable_has_a_name_in_words_and_units(dataset):
    for name, variable in dataset.data_vars.items():
        assert variable.attrs["long_name"], name
        assert name == "status" or variable.attrs["units"], name
    assert dataset.revenue.attrs["units"] == "asset unit² per risk capacity"
    assert dataset["all.count.factor"].attrs["long_name"] == "count of every group (× market's)"
    assert dataset["fund.risk_capacity"].attrs["long_name"] == "risk capacity of fund"
    assert dataset.d_revenue_d_risk_capacity.attrs["long_name"] == "derivative of revenue to risk capacity"


def test_the_guide_lists_every_variable_with_its_words_and_unit(dataset):
    guide = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text()
    for name, variable in dataset.data_vars.items():
        row = f"| `{name}` | {variable.attrs['long_name']} | {variable.attrs.get('units', 'flags')} |"
        assert row in guide or name.startswith("d_"), row


def test_status_codes_follow_the_climate_and_forecast_conventions(dataset):
    flags = dataset.status.attrs
    assert flags["flag_values"].dtype == dataset.status.dtype == np.int8
    assert dict(zip(flags["flag_meanings"].split(), flags["flag_values"].tolist(), strict=True)) == STATUS


def test_provenance_holds_the_market_the_design_and_the_software(design, dataset):
    attrs = dataset.attrs
    assert attrs["Conventions"].startswith("CF-")
    assert f"jaxmech {jm.__version__}" in attrs["source"] and f"jax {jax.__version__}" in attrs["source"]
    assert attrs["precision"] == "float64"
    assert (attrs["design"], attrs["interrupted"]) == ("grid", 0)
    market = json.loads(attrs["market"])
    uniform = {"law": "Uniform", "lower": -1.0, "upper": 1.3, "risk_capacity": 0.7, "count": 2.0}
    assert market["dealer"] == uniform
    assert market["fund"]["law"] == "Beta"


def test_the_hash_of_a_spec_tells_designs_and_markets_apart(design):
    alpha = design.alpha
    other = jm.Market(MARKET.endowment, 2 * MARKET.risk_capacity, MARKET.count, MARKET.names)
    designs = [
        design,
        make_design(MARKET, alpha[:3], OVER),
        make_design(MARKET, alpha, OVER | {"fund.risk_capacity": [0.3, 1.0, 3.1]}),
        make_design(
            MARKET, alpha, {"dealer.risk_capacity": OVER["fund.risk_capacity"], "all.count.factor": [1.0, 2.0]}
        ),
        make_design(other, alpha, OVER),
    ]
    assert len({provenance(one)["spec"] for one in designs}) == len(designs)
    assert provenance(make_design(MARKET, alpha, OVER))["spec"] == provenance(design)["spec"]


def test_what_is_written_is_read_back(dataset, tmp_path):
    path = write(dataset, tmp_path / "sweep.nc")
    with xr.open_dataset(path, engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), dataset)
        assert {name: back.attrs[name] for name in dataset.attrs} == dataset.attrs
        assert back.revenue.attrs["units"] == dataset.revenue.attrs["units"]
        assert np.asarray(back.status.attrs["flag_values"]).tolist() == list(STATUS.values())


NASTY = ("a/b", "a b", "a_b", " pad", ".x", "é", "e\u0301", 'US/EU: "x" [1]', "long " * 99, "point", "status", "group")


@pytest.mark.parametrize("kind", ["grid", "zip"])
def test_names_that_netcdf_cannot_carry_are_kept_beside_ones_it_can(tmp_path, kind):
    def log_density(z, parameters):
        return -parameters["odd/name_d_ "] * z**2

    law = jm.Density(log_density, {"odd/name_d_ ": 1.0}, -1.0, 1.0)
    market = jm.Market.of(*(jm.Traders(law, 1.0, 1, name) for name in NASTY))
    over = {f"{name}.risk_capacity": [1.0, 2.0] if k < 2 else [1.0] for k, name in enumerate(NASTY)}
    design = make_design(market, [0.5, 0.7], over, kind)
    dataset = to_dataset(design, filled(design), interrupted=False)
    path = write(dataset, tmp_path / "sweep.nc")
    with xr.open_dataset(path, engine="h5netcdf") as stored:
        assert not any(re.search(r"[/\s]|^\W", name) or len(name.encode()) > 256 for name in stored.variables)
        assert len({normalize("NFC", name) for name in stored.variables}) == len(dataset.variables)
        assert set(stored.coords) - {"alpha", "group"} and len(stored.coords) == len(dataset.coords)
    with open_sweep(path) as back:
        xr.testing.assert_identical(back.load(), dataset)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of files that h5netcdf half opened
def test_a_file_with_a_flipped_byte_is_read_or_refused(dataset, tmp_path):
    """Some were a RuntimeError of HDF5."""
    data = write(dataset, tmp_path / "sweep.nc").read_bytes()
    for place in np.random.default_rng(0).integers(0, len(data), 80):
        (tmp_path / "flipped.nc").write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
        try:
            open_sweep(tmp_path / "flipped.nc").close()
        except jm.MarketError as error:
            assert "cannot be read as netCDF" in str(error)


def test_a_file_that_is_none_is_told_and_one_that_cannot_be_written_leaves_nothing(monkeypatch, dataset, tmp_path):
    (tmp_path / "no.nc").write_text("no")
    with pytest.raises(jm.MarketError, match=r"no\.nc: cannot be read as netCDF"):
        open_sweep(tmp_path / "no.nc")

    def stop_half_way(dataset, path, **options):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", stop_half_way)
    with pytest.raises(OSError, match="No space left"):
        write(dataset, tmp_path / "yes.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["no.nc"]


def test_other_suffixes_are_refused(dataset, tmp_path):
    with pytest.raises(jm.MarketError, match=r"sweep\.csv: write Datasets to a path ending in \.nc \(netCDF\)"):
        write(dataset, tmp_path / "sweep.csv")
