"""How a sweep lies in Zarr arrays."""

import os

import numpy as np

from jaxmech.extras import extra
from jaxmech.sweep.engine import STATUS

_TOGETHER = 8  # columns in one piece of a chunk's file: what reading one variable reads
_CHECKSUM = 4  # bytes behind each piece, and at the end of the file


def zarr_metadata(design, columns, dtype):
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
    group.create_array(
        "values",
        shape=(columns, *shape),
        chunks=(together, *chunk),
        shards=(-(-columns // together) * together, *chunk),
        dtype=dtype,
        fill_value=np.nan,
        dimension_names=("column", *dims),
        **checked,
    )
    states = {"shape": shape, "chunks": chunk, "dtype": "int8", "fill_value": STATUS["not_computed"]}
    group.create_array("status", **states, dimension_names=dims, **checked)
    return {name: memory[name].to_bytes().decode() for name in ("zarr.json", "values/zarr.json", "status/zarr.json")}


def checksums(path, piece):
    """Length of a chunk's file and the checksums that Zarr put into it, as a text; None where no file is read.

    A few bytes of each piece tell a file that is cut, or another's, from the one that was written.

    Args:
      path: of the file.
      piece: bytes of one piece.
    """
    found = []
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            for end in (*range(piece + _CHECKSUM, size, piece + _CHECKSUM), size):
                file.seek(max(end - _CHECKSUM, 0))
                found.append(file.read(_CHECKSUM))
    except OSError:
        return None
    return f"{size}:{b''.join(found).hex()}"


def pieces(design, columns, dtype):
    """Bytes of a piece of a chunk's file, of values and of status; arguments as above."""
    points = int(np.prod(design.chunk_shape))
    return min(_TOGETHER, columns) * points * np.dtype(dtype).itemsize, points
