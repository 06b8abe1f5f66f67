"""A sweep on disk: chunks in a Zarr store with checksums, and a record of each; docs/sweeps.md shows the files.

A chunk counts as computed once it has a record, and is trusted while its numbers have the record's hash; to read, it is
enough that the checksums in its files are those of the record, which takes no time.
"""

import hashlib
import json
import math
import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.extras import extra
from jaxmech.inputs import MarketError
from jaxmech.sweep.description import density_values, description, design_of, refuse_other_functions, spec_hash
from jaxmech.sweep.design import Design
from jaxmech.sweep.engine import STATUS, chunk_results, columns_of, micro_batch
from jaxmech.sweep.files import disk_errors_in_words, read_json, to_disk, write_whole

_ARRAYS = ("values", "status")
_TOGETHER = 8  # columns in one piece of a chunk's file: what reading one variable reads
_CHECKSUM = 4  # bytes behind each piece, and at the end of the file


class Damage(NamedTuple):
    """Something in a store that is not as it was written, or not there."""

    where: int | str  # number of a chunk, or name of a file
    reason: str


def made_with() -> dict:
    """The software and precision of this process: what must agree within a store."""
    import jaxmech

    x64 = bool(jax.config.jax_enable_x64)
    return {"dtype": str(jnp.result_type(float)), "x64": x64, "jax": jax.__version__, "jaxmech": jaxmech.__version__}


@dataclass(frozen=True)
class SweepStore:
    """A sweep's folder. Make one with `created`, open one with `opened`."""

    path: Path
    design: Design
    derivatives: bool
    columns: dict  # names of the results, in order, and the groups of each, 0 where it is one number a point
    identity: dict  # hash of the sweep, points of a micro-batch, precision and software: equal in every record
    metadata: dict  # text of the Zarr metadata by file, which damage is mended from
    densities: list  # what the functions of its densities give, as `density_values`
    _seen: set = field(default_factory=set, init=False, repr=False)  # chunks that held up

    @cached_property
    def arrays(self):
        """The Zarr arrays of values and of status. MarketError where what describes them is damaged."""
        with extra("data"):
            import zarr

        if spoilt := [name for name in self.metadata if not self._is_whole(name)]:
            raise MarketError(f"{self.path}: {spoilt[0]} is missing, cut or changed; jaxmech sweep repair mends it")
        return tuple(zarr.open_array(self.path / name, mode="r+") for name in _ARRAYS)

    def places(self):
        """(name, first column, groups or 0) of each result."""
        first = 0
        for name, groups in self.columns.items():
            yield name, first, groups
            first += max(groups, 1)

    def compute(self, chunk):
        """Compute a chunk and write it. MarketError where this process would compute other bits than the store's."""
        self.refuse_other_software()
        start = time.perf_counter()
        results = chunk_results(self.design, self.derivatives, chunk, self.identity["micro_batch"])
        self.write(chunk, results, time.perf_counter() - start)

    def write(self, chunk, results, seconds):
        """Write a chunk, then its record. MarketError when the disk refuses or the folder has gone."""
        rows, columns = self.design.block(chunk)
        shape = (-1, rows.stop - rows.start, columns.stop - columns.start)
        block = [results[name].reshape(-1, max(groups, 1)).T for name, _, groups in self.places()]
        block, status = np.concatenate(block).reshape(shape), results["status"].reshape(shape[1:])
        with disk_errors_in_words(self.path):
            os.stat(self.path / "sweep.json")  # Zarr would make the folder anew
            values, states = self.arrays
            values[:, rows, columns] = block
            states[rows, columns] = status
            for file in filter(Path.exists, self._files(chunk)):  # Zarr writes none where no point is a market
                to_disk(file)
            record = self.identity | {
                "chunk": chunk,
                "points": status.size,
                "status": {name: int(np.sum(status == code)) for name, code in STATUS.items() if code in status},
                "sha256": _digest(block, status),
                "checksums": self._checksums(chunk),
                "device": jax.devices()[0].device_kind,
                "seconds": round(seconds, 3),
                "process": os.getpid(),
            }
            write_whole(self._record(chunk), json.dumps({"record_sha256": spec_hash(record), **record}) + "\n")

    def read(self, chunk) -> dict:
        """Results of a chunk, points first, and its status, as `chunk_results` gave them."""
        return self._results(*self._block(chunk))

    def read_all(self) -> dict:
        """The same of the whole sweep, NaN and "not computed" where nothing sound is."""
        block = np.full((self._width, *self.design.shape), np.nan, self.identity["dtype"])
        status = np.full(self.design.shape, STATUS["not_computed"], np.int8)
        for chunk in self.sound():
            rows, columns = self.design.block(chunk)
            block[:, rows, columns], status[rows, columns] = self._block(chunk)
        return self._results(block, status)

    def computed(self) -> list:
        """Numbers of the chunks that have a record, in order."""
        return sorted(int(file.stem) for file in (self.path / "manifest").glob("*.json") if file.stem.isdigit())

    def sound(self) -> list:
        """Numbers of the chunks whose record and files hold up at a glance, in order."""
        return [chunk for chunk in range(self.design.chunks) if self.is_sound(chunk)]

    def is_sound(self, chunk) -> bool:
        """Whether the record and the files of a chunk hold up at a glance; remembered where they do."""
        if chunk not in self._seen and not self._reason(chunk, thorough=False):
            self._seen.add(chunk)
        return chunk in self._seen

    def forget(self, chunk):
        """Drop a chunk: it counts as not computed. Its files go too, because Zarr reads what it writes a part of."""
        with disk_errors_in_words(self.path):
            for file in (self._record(chunk), *self._files(chunk)):
                file.unlink(missing_ok=True)

    def damages(self) -> list:
        """Damage found by reading everything: files of the store first, else chunks, those not computed included."""
        files = [Damage(name, "is missing, cut or changed") for name in self.metadata if not self._is_whole(name)]
        reasons = ((chunk, self._reason(chunk)) for chunk in range(self.design.chunks))
        return files or [Damage(chunk, reason) for chunk, reason in reasons if reason]

    def mend_metadata(self):
        """Write the Zarr metadata anew where it is damaged, and make the folder of records where it is gone."""
        with disk_errors_in_words(self.path):
            (self.path / "manifest").mkdir(parents=True, exist_ok=True)
            for name, text in self.metadata.items():
                if not self._is_whole(name):
                    (self.path / name).parent.mkdir(exist_ok=True)
                    write_whole(self.path / name, text)

    def refuse_other_software(self):
        """MarketError when this process would compute other bits than those of the store, or lacks its functions."""
        for name, here in made_with().items():
            if self.identity[name] != here:
                computed = f"{self.path}: computed with {name} {self.identity[name]}, but this process has {here}"
                raise MarketError(f"{computed}; use the same, choose another folder or add --overwrite")
        refuse_other_functions(self.design.market, self.densities)

    def _reason(self, chunk, thorough=True):
        """What is wrong with a chunk, or None; `thorough`: also with each of its numbers."""
        if not self._record(chunk).exists():
            return "not computed"
        record = read_json(self._record(chunk))
        if not isinstance(record, dict) or record.pop("record_sha256", None) != spec_hash(record):
            return "manifest record is cut or damaged"
        if {name: record.get(name) for name in self.identity} != self.identity or record["chunk"] != chunk:
            return "manifest record is of another sweep or software"
        known = record.get("checksums")  # which the records of older stores lack
        for name, seen in self._checksums(chunk).items() if known else ():
            if seen != known[name]:
                return f"file of its {name} is " + ("truncated or changed" if seen else "missing")
        if known and not thorough:
            return None
        try:
            block, status = self._block(chunk)
        except Exception as error:  # whatever a decoder makes of damaged bytes
            return f"file is truncated or changed: {error}"
        return None if record["sha256"] == _digest(block, status) else "numbers are not those that were computed"

    def _checksums(self, chunk):
        points = math.prod(self.design.chunk_shape)
        pieces = min(_TOGETHER, self._width) * points * np.dtype(self.identity["dtype"]).itemsize, points
        files = zip(_ARRAYS, self._files(chunk), pieces, strict=True)
        return {name: _checksums(file, piece) for name, file, piece in files}

    @property
    def _width(self):
        """Columns of values."""
        return sum(max(groups, 1) for groups in self.columns.values())

    def _is_whole(self, name):
        file = self.path / name
        return file.is_file() and file.read_bytes() == self.metadata[name].encode()

    def _block(self, chunk):
        values, states = self.arrays
        rows, columns = self.design.block(chunk)
        return values[:, rows, columns], states[rows, columns]

    def _results(self, block, status):
        flat = block.reshape(len(block), -1)
        results = {name: flat[k : k + groups].T if groups else flat[k] for name, k, groups in self.places()}
        return results | {"status": status.ravel()}

    def _record(self, chunk):
        return self.path / "manifest" / f"{chunk:06d}.json"

    def _files(self, chunk):
        row, column = self.design.chunk_place(chunk)
        return self.path / f"values/c/0/{row}/{column}", self.path / f"status/c/{row}/{column}"


def created(path, design, derivatives, size=None) -> SweepStore:
    """A store for a sweep, its header written last; chunks that lie there already stay."""
    columns = columns_of(design, derivatives, size)
    described = description(design, derivatives)
    identity = {"spec": spec_hash(described), "micro_batch": micro_batch(design, size)[0]} | made_with()
    design, _ = design_of(described, identity["dtype"])  # the same here as wherever it is opened
    metadata = _zarr_metadata(design, sum(max(groups, 1) for groups in columns.values()), identity["dtype"])
    densities = density_values(design.market)
    body = {"sweep": described, "identity": identity, "columns": columns, "metadata": metadata, "densities": densities}
    with disk_errors_in_words(path):
        store = SweepStore(path, design, derivatives, columns, identity, metadata, densities)
        store.mend_metadata()
        write_whole(path / "sweep.json", json.dumps({"sha256": spec_hash(body), **body}) + "\n")
    return store


def opened(path) -> SweepStore:
    """The store in a folder, made from what it holds; MarketError where there is none, or its header is damaged."""
    path = Path(path)
    body = read_json(path / "sweep.json")
    if body is None and not (path / "sweep.json").exists():
        raise MarketError(f"{path}: holds no sweep; give the folder that a sweep wrote, its sweep.zarr")
    if not isinstance(body, dict) or body.pop("sha256", None) != spec_hash(body):
        raise MarketError(f"{path / 'sweep.json'}: is cut or changed; run the sweep again with --resume to restore it")
    design, derivatives = design_of(body["sweep"], body["identity"]["dtype"])
    rest = (body[name] for name in ("columns", "identity", "metadata"))
    return SweepStore(path, design, derivatives, *rest, body.get("densities", []))


def _digest(block, status):
    """sha256 of a chunk's numbers."""
    digest = hashlib.sha256(np.ascontiguousarray(block))
    digest.update(np.ascontiguousarray(status))
    return digest.hexdigest()


def _zarr_metadata(design, columns, dtype):
    """Text of the Zarr metadata by file: of the group, of values (columns, rows, points) and of status (rows, points).

    A chunk of the sweep is one file of each array. Pieces of few columns inside it can be read alone.
    """
    with extra("data"):
        import zarr
        from zarr.codecs import Crc32cCodec

    memory, dims = {}, ("row", "point")
    group = zarr.create_group(zarr.storage.MemoryStore(memory))
    checked = {"compressors": [Crc32cCodec()]}  # without one, a flipped bit is read as another number
    shape, chunk = design.shape, design.chunk_shape
    together = min(_TOGETHER, columns)
    pieces = {"chunks": (together, *chunk), "shards": (-(-columns // together) * together, *chunk)}
    values = {"shape": (columns, *shape), "dtype": dtype, "fill_value": np.nan} | pieces
    group.create_array("values", **values, dimension_names=("column", *dims), **checked)
    states = {"shape": shape, "chunks": chunk, "dtype": "int8", "fill_value": STATUS["not_computed"]}
    group.create_array("status", **states, dimension_names=dims, **checked)
    return {name: memory[name].to_bytes().decode() for name in ("zarr.json", "values/zarr.json", "status/zarr.json")}


def _checksums(path, piece):
    """Length of a chunk's file and the checksums behind its pieces of so many bytes, as text; None where no file is.

    They tell a file that is cut, or another's, from the one that was written.
    """
    seen = b""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            for end in (*range(piece + _CHECKSUM, size, piece + _CHECKSUM), size):
                file.seek(max(end - _CHECKSUM, 0))
                seen += file.read(_CHECKSUM)
    except OSError:
        return None
    return f"{size}:{seen.hex()}"
