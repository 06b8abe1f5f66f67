"""Two spawned Dask workers fill a store as one process does; bad workers and poisonous chunks harm nobody else."""

import os
import signal
import warnings
from dataclasses import replace

import jax
import pytest
from test_store import files_of

import jaxmech as jm
from cheap_sweeps import MARKET, small_design
from jaxmech.sweep import cluster, completion, make_design, store, stored_sweep, verify

pytest.importorskip("distributed")
from distributed import Client, LocalCluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning"),
]


def design_of_chunks(chunks=6):
    design = make_design(MARKET, [0.2, 0.6], {"fund.risk_capacity": [0.5 + 0.1 * k for k in range(2 * chunks)]})
    return replace(design, chunk_shape=(2, 2))


@pytest.fixture(scope="module")
def two_workers():
    """A cluster started by somebody else, float64 in its workers' environment."""
    made = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**made, env={"JAX_ENABLE_X64": "1"}) as running, Client(running):
        yield "dask://" + running.scheduler_address.removeprefix("tcp://")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Bytes of the sweep computed by this process."""
    path = tmp_path_factory.mktemp("alone") / "s.zarr"
    stored_sweep(path, design_of_chunks(), size=64, progress=False)
    return files_of(path)


@pytest.mark.slow
def test_workers_write_the_bytes_that_one_process_writes(two_workers, alone, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where the workers are not
    done = stored_sweep("s.zarr", design_of_chunks(), size=64, engine=two_workers, progress=False)
    assert (done.computed, done.failed, done.interrupted) == (6, {}, False)
    assert verify(tmp_path / "s.zarr") == []
    assert files_of(tmp_path / "s.zarr") == alone
    by = {store.read_json(tmp_path / "s.zarr" / f"manifest/{chunk:06d}.json")["process"] for chunk in range(6)}
    assert os.getpid() not in by


def test_only_what_is_missing_goes_to_the_workers(two_workers, alone, tmp_path):
    path = tmp_path / "s.zarr"
    stored_sweep(path, design_of_chunks(), size=64, progress=False)
    (path / "manifest/000004.json").unlink()
    assert completion.repair(path, engine=two_workers, progress=False).computed == 1
    assert files_of(path) == alone
    assert completion.repair(path, engine="dask://nowhere:1", progress=False).computed == 0  # nobody is asked


def test_workers_that_a_sweep_starts_keep_compiled_code_where_it_does(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    try:
        with cluster._client("local-cluster", 1, 1) as client:
            assert set(client.run(lambda: jax.config.jax_compilation_cache_dir).values()) == {str(tmp_path)}
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def poison(path, identity, chunk):
    """In place of `_compute`: chunk 3 kills its worker, chunk 4 raises."""
    if chunk == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if chunk == 4:
        raise ZeroDivisionError("of chunk 4")
    store.opened(path).compute(chunk)


@pytest.mark.slow
def test_poisonous_chunks_are_isolated_and_reported_and_the_rest_completes(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "_compute", poison)
    path = tmp_path / "s.zarr"
    done = stored_sweep(path, design_of_chunks(), size=64, engine="local-cluster", workers=2, progress=False)
    assert done.failed == {3: "killed every worker that computed it", 4: "ZeroDivisionError: of chunk 4"}
    assert done.computed == 4
    assert [tuple(damage) for damage in verify(path)] == [(3, "not computed"), (4, "not computed")]


def test_a_worker_without_float64_is_refused_before_it_writes(tmp_path):
    made = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**made, env={"JAX_ENABLE_X64": "0"}) as running, Client(running):
        engine = "dask://" + running.scheduler_address.removeprefix("tcp://")
        with pytest.raises(jm.MarketError, match=r"has dtype float32, the sweep needs float64; .*JAX_ENABLE_X64=1"):
            stored_sweep(tmp_path / "s.zarr", small_design(), size=64, engine=engine, progress=False)
    assert len(verify(tmp_path / "s.zarr")) == small_design().chunks


@pytest.mark.parametrize(
    ("engine", "workers", "match"),
    [
        ("ray", None, "engine is 'ray'; give local-cluster or dask://HOST:PORT"),
        ("local-cluster", 0, "workers is 0; give a whole number"),
        ("dask://127.0.0.1:9", None, "no scheduler answers there"),
    ],
)
def test_engines_that_are_none_are_refused(monkeypatch, tmp_path, engine, workers, match):
    monkeypatch.setattr(cluster, "_PATIENCE", "1s")
    with warnings.catch_warnings(), pytest.raises(jm.MarketError, match=match):
        warnings.simplefilter("ignore")
        stored_sweep(tmp_path / "s.zarr", small_design(), size=64, engine=engine, workers=workers, progress=False)
