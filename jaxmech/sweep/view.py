"""The labelled Dataset of a store, read piece by piece when it is asked for, also while the sweep is running."""

from contextlib import contextmanager

import numpy as np

from jaxmech.extras import extra
from jaxmech.inputs import MarketError
from jaxmech.sweep.dataset import labelled, to_dataset
from jaxmech.sweep.engine import STATUS

with extra("data"):
    from xarray.backends import BackendArray
    from xarray.core import indexing


def stored_dataset(store):
    """xarray.Dataset of a SweepStore: NaN and "not computed" in chunks that are missing or damaged."""
    unfinished = bool(store.arrays) and _unfinished(store)
    sizes = tuple(store.design.dims.values())
    results = {name: _lazy(_Stored(store, first, groups, sizes)) for name, first, groups in store.places()}
    results["status"] = _lazy(_Stored(store, None, 0, sizes))
    dataset = labelled(store.design, results, unfinished, lambda column: _lazy(_Column(column)), store.derivatives)
    return _of_its_software(store, dataset)


def loaded_dataset(store):
    """The same in memory, every piece of a file read once."""
    return _of_its_software(store, to_dataset(store.design, store.read_all(), _unfinished(store)))


def _unfinished(store):
    return len(store.sound()) < store.design.chunks


def _of_its_software(store, dataset):
    software = "jaxmech {jaxmech}, jax {jax}".format(**store.identity)
    return dataset.assign_attrs(source=software, precision=store.identity["dtype"])


def _lazy(array):
    return indexing.LazilyIndexedArray(array)


class _Read(BackendArray):
    """What `_read` reads when it is asked for."""

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)


class _Stored(_Read):
    """One result, or the status (first column None), with the design's dimensions."""

    def __init__(self, store, first, groups, sizes):
        self.store, self.first, self.groups, self.sizes = store, first, groups, sizes
        self.shape = (*sizes, groups) if groups else sizes
        self.dtype = np.dtype("int8" if first is None else store.identity["dtype"])

    def _read(self, key):
        """Numbers at the outer product of one index a dimension, from the rectangle that chunks are cut from."""
        places = [np.arange(size)[index] for index, size in zip(key, self.shape, strict=True)]
        kept = [len(along) for along in places if np.ndim(along)]
        places = [np.atleast_1d(along) for along in places]
        points, groups = places[: len(self.sizes)], places[len(self.sizes) :]
        rows, columns = self._rectangle(points)
        width = None if self.first is None else max(self.groups, 1)
        status = np.full((len(rows), len(columns)), STATUS["not_computed"], np.int8)
        block = np.full((width or 0, *status.shape), np.nan, self.dtype)
        for place, *where in self._sound_parts(rows, columns):
            with _damage_in_words(self.store):
                status[place] = self.store.arrays[1].oindex[*where]
                if width:
                    block[:, *place] = self.store.arrays[0].oindex[slice(self.first, self.first + width), *where]
        if not width:
            return status.reshape(kept)
        block = np.where(status >= 0, block, np.nan)
        block = np.moveaxis(block, 0, -1)[..., groups[0]] if groups else block[0]
        return block.reshape(kept).astype(self.dtype, copy=False)

    def _sound_parts(self, rows, columns):
        """(place in the result, rows, columns) of what sound chunks hold; all at once where every chunk is sound."""
        design, (height, width) = self.store.design, self.store.design.chunk_shape
        row_of, column_of = rows // height, columns // width
        places = [(row, column) for row in _different(row_of) for column in _different(column_of)]
        sound = [place for place in places if self.store.is_sound(int(place[0] * design.chunks_across + place[1]))]
        if places and len(sound) == len(places):
            yield np.s_[:, :], _run(rows), _run(columns)
            return
        for row, column in sound:
            inside = np.flatnonzero(row_of == row), np.flatnonzero(column_of == column)
            yield np.ix_(*inside), _run(rows[inside[0]]), _run(columns[inside[1]])

    def _rectangle(self, points):
        """Rows and columns of the outer product of places along the dimensions."""
        if self.store.design.kind != "grid":
            return np.zeros(1, int), points[0]
        inner = self.sizes[1:]
        columns = np.ravel_multi_index(np.ix_(*points[1:]), inner).ravel() if inner else np.zeros(1, int)
        return points[0], columns


class _Column(_Read):
    """A column of a design with one number a point."""

    def __init__(self, column):
        self.column, self.shape, self.dtype = column, (len(column),), np.dtype(float)

    def _read(self, key):
        points = np.arange(len(self.column))[key[0]]
        numbers = self.column[np.atleast_1d(points)] if np.size(points) else np.zeros(0)
        return numbers if np.ndim(points) else numbers[0]


@contextmanager
def _damage_in_words(store):
    """MarketError for numbers whose checksum does not hold, which only reading them shows."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        remedy = "jaxmech sweep repair finds it and computes it again"
        raise MarketError(f"{store.path}: a chunk is damaged: {error}; {remedy}") from error


def _different(numbers):
    """The numbers that occur, in order; faster than sorting millions of them."""
    return np.flatnonzero(np.bincount(numbers))


def _run(places):
    """Neighbouring numbers as a slice, which Zarr reads faster."""
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places
