"""Computes what a store lacks: a new sweep, one that was interrupted and one that was damaged are the same work."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from jaxmech.extras import progress_bar
from jaxmech.inputs import MarketError
from jaxmech.sweep.cluster import computed_on_cluster
from jaxmech.sweep.description import description, refuse_unstorable, spec_hash
from jaxmech.sweep.files import alone, cleared
from jaxmech.sweep.store import SweepStore, created, opened


class Completion(NamedTuple):
    """What became of a sweep."""

    store: SweepStore
    computed: int  # chunks computed now
    failed: dict  # chunk → why, of chunks that workers could not compute
    interrupted: bool


def stored_sweep(
    path,
    design,
    derivatives=False,
    size=None,
    *,
    resume=False,
    overwrite=False,
    engine=None,
    workers=None,
    progress=None,
) -> Completion:
    """Compute a sweep into a folder; what is there already, and whole, is not computed again.

    Args:
      path: folder of the store, made if need be.
      design, derivatives, size: as for `run`.
      resume: go on with an unfinished sweep; without it, one is refused.
      overwrite: remove what is there first.
      engine: None for this process, "local-cluster" or "dask://HOST:PORT".
      workers: of a local cluster.
      progress: None (a bar on a terminal), True or False.

    Returns:
      Completion. After Ctrl-C the chunks written are kept.

    Raises:
      MarketError: the market has a law or a function that cannot be stored; the folder holds another sweep, or one of
        other software or precision, or an unfinished one; another process computes it; the disk refuses.
    """
    path = Path(path)
    refuse_unstorable(design.market)
    with alone(path):
        if overwrite:
            cleared(path, first="sweep.json")
        store = _store_for(path, design, derivatives, size, resume)
        return _completed(store, engine, workers, progress, begun=resume)


def repair(path, *, engine=None, workers=None, progress=None) -> Completion:
    """Compute again whatever is damaged or missing in the store of a folder; nothing else is needed but the folder."""
    store = opened(path)
    with alone(store.path):
        return _completed(store, engine, workers, progress)


def verify(path) -> list:
    """Damages of the store in a folder, found by reading every chunk against its record; [] when it is whole."""
    return opened(path).damages()


def _store_for(path, design, derivatives, size, resume):
    """The store of this sweep in the folder, new or as it lies there."""
    try:
        store = opened(path)
    except MarketError:
        if (path / "sweep.json").exists() and not resume:
            raise
        return created(path, design, derivatives, size)  # a damaged header is restored, chunks are checked after it
    if store.identity["spec"] != spec_hash(description(design, derivatives)):
        raise MarketError(f"{path}: holds results of another spec; choose another folder or add --overwrite")
    return store


def _completed(store, engine, workers, progress, begun=True):
    """Compute what is damaged or missing in a store that is ours alone; `begun`: also when something is there."""
    store.refuse_other_software()
    store.mend_metadata()
    for debris in store.path.rglob("*.partial"):
        with suppress(OSError):
            debris.unlink()
    missing, total = [damage.where for damage in store.damages()], store.design.chunks
    if missing and store.computed() and not begun:
        held = f"{store.path}: holds {total - len(missing)} of {total} chunks of this sweep"
        raise MarketError(f"{held}; add --resume to compute the rest, or --overwrite to begin again")
    for chunk in missing:
        store.forget(chunk)
    with progress_bar(store.design.points, "point", progress) as bar:
        bar.update(store.design.points - sum(store.design.chunk_points(chunk).size for chunk in missing))
        if engine is not None:
            return Completion(store, *computed_on_cluster(store, missing, engine, workers, bar))
        done = []
        with suppress(KeyboardInterrupt):
            for chunk in missing:
                store.compute(chunk)
                done.append(chunk)
                bar.update(store.design.chunk_points(chunk).size)
        return Completion(store, len(done), {}, len(done) < len(missing))
