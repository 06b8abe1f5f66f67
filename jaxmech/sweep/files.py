"""Files that are whole or not there, a lock that dies with its process, and errors of disks in words."""

import json
import os
import shutil
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxmech.inputs import MarketError


def write_whole(path, text):
    """Write a file so that whoever reads it, whatever happens, sees all of it or what was there before."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def to_disk(path):
    """Wait until a file's bytes have left the memory of the machine."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


@contextmanager
def disk_errors_in_words(path):
    """MarketError for a disk that is full, read-only or gone."""
    try:
        yield
    except OSError as error:
        said = f"{path}: {error.strerror or error}; chunks already computed are kept"
        raise MarketError(f"{said}. Mend that, then run the sweep again with --resume") from error


@contextmanager
def alone(folder):
    """Hold a folder, made if need be, for one sweep at a time; the kernel lets go when the process dies.

    Raises:
      MarketError: another process holds it.
    """
    with disk_errors_in_words(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+")
    with file:
        if not _held(file):
            file.seek(0)
            raise MarketError(f"{folder}: {file.read()} is computing this sweep; wait for it or choose another folder")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def _held(file):
    """Whether the lock is ours; also where the file system has none: two sweeps write the same bytes, whole files."""
    with suppress(ImportError, OSError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def cleared(folder, first):
    """Remove all that a folder held by `alone` has in it, beginning with the file `first`."""
    with disk_errors_in_words(folder):
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name != first):
            if entry.name != "lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def store_in(folder):
    """The store that the command `sweep` wrote into a folder, or the folder itself."""
    return folder / "sweep.zarr" if (folder / "sweep.zarr").is_dir() else folder


def read_json(path):
    """What a JSON file holds; None where it is missing, cut or no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
