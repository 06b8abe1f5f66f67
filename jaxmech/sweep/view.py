"""The labelled Dataset of a store, read piece by piece when it is asked for, also while the sweep is running."""

import numpy as np

from jaxmech.extras import extra
from jaxmech.sweep.dataset import labelled, to_dataset

with extra("data"):
    from xarray.backends import BackendArray
    from xarray.core import indexing


def stored_dataset(store):
    """xarray.Dataset of a SweepStore."""
    sizes = tuple(store.design.dims.values())
    results = {name: _lazy(_Stored(store, first, groups, sizes)) for name, first, groups in store.places()}
    results["status"] = _lazy(_Stored(store, None, 0, sizes))
    dataset = labelled(
        store.design, results, _unfinished(store), lambda column: _lazy(_Column(column)), store.derivatives
    )
    return _of_its_software(store, dataset)


def loaded_dataset(store):
    """The same in memory, every piece of a file read once."""
    return _of_its_software(store, to_dataset(store.design, store.read_all(), _unfinished(store)))


def _unfinished(store):
    return len(store.computed()) < store.design.chunks


def _of_its_software(store, dataset):
    software = "jaxmech {jaxmech}, jax {jax}".format(**store.identity)
    return dataset.assign_attrs(source=software, precision=store.identity["dtype"])


def _lazy(array):
    return indexing.LazilyIndexedArray(array)


class _Stored(BackendArray):
    """One result, or the status (first column None), with the design's dimensions."""

    def __init__(self, store, first, groups, sizes):
        self.store, self.first, self.groups, self.sizes = store, first, groups, sizes
        self.shape = (*sizes, groups) if groups else sizes
        self.dtype = np.dtype("int8" if first is None else store.identity["dtype"])

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key):
        """Numbers at the outer product of one index a dimension, from the rectangle that chunks are cut from."""
        places = [np.arange(size)[one] for one, size in zip(key, self.shape, strict=True)]
        kept = [len(one) for one in places if np.ndim(one)]
        places = [np.atleast_1d(one) for one in places]
        points, groups = places[: len(self.sizes)], places[len(self.sizes) :]
        rows, columns = self._rectangle(points)
        values, states = self.store.arrays
        status = states.oindex[rows, columns]
        if self.first is None:
            return status.reshape(kept)
        chosen = slice(self.first, self.first + max(self.groups, 1))
        block = values.oindex[chosen, rows, columns]
        block = np.where(status >= 0, block, np.nan)
        block = np.moveaxis(block, 0, -1)[..., groups[0]] if groups else block[0]
        return block.reshape(kept).astype(self.dtype, copy=False)

    def _rectangle(self, points):
        """Rows and columns of the outer product of places along the dimensions."""
        if self.store.design.kind != "grid":
            return slice(0, 1), _run(points[0])
        inner = self.sizes[1:]
        columns = np.ravel_multi_index(np.ix_(*points[1:]), inner).ravel() if inner else np.zeros(1, int)
        return _run(points[0]), _run(columns)


class _Column(BackendArray):
    """A column of a design with one number a point."""

    def __init__(self, column):
        self.column, self.shape, self.dtype = column, (len(column),), np.dtype(float)

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key):
        points = np.arange(len(self.column))[key[0]]
        found = self.column[np.atleast_1d(points)] if np.size(points) else np.zeros(0)
        return found if np.ndim(points) else found[0]


def _run(places):
    """Neighbouring numbers as a slice, which Zarr reads faster."""
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places
