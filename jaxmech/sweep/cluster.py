"""The chunks of a store computed by the workers of a Dask cluster. Needs the extra `dask`.

Workers share the store's folder and write their chunks and records themselves: nothing large crosses the network, and
what a worker has finished outlives it, the driver and the scheduler. Dask moves work from lost workers to others; what
it cannot give is memory of what was done, which is the store.
"""

import socket
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from jaxmech.compile_cache import cache_environment
from jaxmech.extras import extra
from jaxmech.inputs import MarketError, whole_number
from jaxmech.sweep.description import refuse_other_functions
from jaxmech.sweep.store import made_with, opened

_SCHEME = "dask://"
_PATIENCE = "30s"  # to reach a scheduler
_LOCAL = {
    "distributed.deploy.lost-worker-timeout": "1 day",  # after 15 s, a worker that died twice would not come back
    "distributed.scheduler.worker-saturation": 1.0,  # one chunk a worker: none is blamed for the death of another
}


def computed_on_cluster(store, missing, engine, workers, bar):
    """Compute missing chunks of a store that this process holds: (chunks computed, failed: chunk → why, interrupted).

    A chunk that kills its workers fails alone. MarketError for no such engine, no scheduler, or a worker of other
    software, precision or disk. Engine and workers as in `stored_sweep`.
    """
    _check_engine(engine, workers)
    if not missing:
        return 0, {}, False
    done, failed, interrupted = [], {}, True
    with _client(engine, workers, len(missing)) as client:
        _check_workers(client, store)
        with suppress(KeyboardInterrupt):
            suspects = _round(client, store, missing, bar, done, failed)
            for chunk in suspects:  # workers that died may have had several: alone, a chunk answers for itself
                for again in _round(client, store, [chunk], bar, done, failed):
                    failed[again] = "killed every worker that computed it"
            interrupted = False
    return len(done), failed, interrupted


def _round(client, store, chunks, bar, done, failed):
    """Compute chunks; returns those whose workers died too often, and notes what was done and what failed."""
    with extra("dask"):
        from distributed import KilledWorker, as_completed

    futures = client.map(_compute, [_folder(store)] * len(chunks), [store.identity] * len(chunks), chunks, pure=False)
    numbers, suspects = dict(zip(futures, chunks, strict=True)), []
    for future in as_completed(futures, raise_errors=False):
        chunk = numbers[future]
        error = future.exception() if future.status != "finished" else None
        if isinstance(error, KilledWorker):
            suspects.append(chunk)
        elif isinstance(error, MarketError):
            raise error  # a full disk or a foreign worker: no chunk would fare better
        elif error is not None or future.status != "finished":
            failed[chunk] = f"{type(error).__name__}: {error}"
        else:
            done.append(chunk)
            bar.update(store.design.chunk_points(chunk).size)
        future.release()
    return suspects


def _folder(store):
    """The store's folder as workers look for it, wherever they were started."""
    return str(store.path.absolute())


def _compute(path, identity, chunk):
    """On a worker: compute and write one chunk of the store in a folder."""
    store = _opened(path)
    if store.identity != identity:
        raise MarketError(f"{path} on {socket.gethostname()}: is another sweep; all workers must share the folder")
    store.compute(chunk)


_opened = lru_cache(maxsize=1)(opened)  # once a worker: a market made anew would be compiled anew


def _check_workers(client, store):
    """MarketError unless every worker sees the store and has our software, precision and functions; before writing."""
    remedies = dict.fromkeys(("x64", "dtype"), "; start workers with JAX_ENABLE_X64=1 in their environment")
    for address, (made, sees, trouble) in client.run(_what_it_has, _folder(store)).items():
        for name, value in made_with().items():
            if made[name] != value:
                said = f"worker {address} has {name} {made[name]}, the sweep needs {value}"
                raise MarketError(said + remedies.get(name, ""))
        if not sees:
            raise MarketError(f"worker {address} does not see {_folder(store)}; all workers must share the folder")
        if trouble:
            raise MarketError(f"worker {address}: {trouble}")


def _what_it_has(path):
    """On a worker: its software and precision, whether it sees the store, what is wrong with functions of its laws."""
    _opened.cache_clear()
    if not (Path(path) / "sweep.json").is_file():
        return made_with(), False, None
    try:
        store = opened(path)
        refuse_other_functions(store.design.market, store.densities)
    except Exception as error:  # whatever the functions do
        return made_with(), True, str(error)
    return made_with(), True, None


def _check_engine(engine, workers):
    if engine != "local-cluster" and not (isinstance(engine, str) and engine.startswith(_SCHEME)):
        raise MarketError(f"engine is {engine!r}; give local-cluster or dask://HOST:PORT")
    if workers is not None:
        whole_number("workers", workers, 1)
    with extra("dask"):
        import distributed  # noqa: F401


@contextmanager
def _client(engine, workers, most):
    """A client of the cluster, once it has a worker."""
    with extra("dask"):
        import dask
        from distributed import Client, LocalCluster

    if engine != "local-cluster":
        address = f"tcp://{engine.removeprefix(_SCHEME)}"
        try:
            client = Client(address, timeout=_PATIENCE)
        except (OSError, ValueError) as error:
            raise MarketError(f"engine {engine}: no scheduler answers there: {error}") from None
        with client:
            client.wait_for_workers(1)
            yield client
        return
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    environment = {"JAX_ENABLE_X64": str(int(made_with()["x64"])), **cache_environment()}  # before it imports JAX
    with (
        dask.config.set(_LOCAL),
        LocalCluster(n_workers=workers and min(workers, most), env=environment, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client
