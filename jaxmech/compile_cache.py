"""Compiled code kept between processes: JAX's own compile cache, in a folder of the user.

JAX checks no more than the text of a program, its own version and the flags, so every type of processor has a folder of
its own: a home directory may be shared by many. The library turns nothing on by itself; the command line does.
"""

import hashlib
import os
import platform
import re
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import jax

from jaxmech.inputs import AnyPath, path_of

_VARIABLE = "JAXMECH_CACHE"
_SETTINGS = {  # of JAX, without which it keeps only what took a second to compile
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
_IDENTITY = ("vendor_id", "cpu family", "model", "stepping", "flags", "CPU implementer", "CPU part", "Features")
_COMPLAINT = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(\w+)'")


def compile_cache(folder: AnyPath | None = None) -> Path | None:
    """Keep compiled code between processes, so that only the first one compiles. Call it before anything is solved.

    A cache that is already set (JAX_COMPILATION_CACHE_DIR, `jax.config`, or an earlier call) stays as it is. Whoever
    can write to the folder can run code in your name: choose one of your own. It only grows, and may be deleted.

    Args:
      folder: where; None for that of the environment variable JAXMECH_CACHE ("off" or empty: no cache), or else
        `jaxmech` in the user's cache folder. Each type of processor and version of JAX has its own folder in it.

    Returns:
      The folder that JAX uses, or None where there is no cache: turned off, or the folder cannot be written.

    Raises:
      MarketError: `folder` is not a path.
    """
    folder = _chosen() if folder is None else path_of("folder", folder)
    if not jax.config.jax_enable_compilation_cache:
        return None
    if jax.config.jax_compilation_cache_dir:
        return Path(jax.config.jax_compilation_cache_dir)
    folder = _writable(folder)
    if folder is not None:
        for name, value in _SETTINGS.items():
            jax.config.update(name, value)
        jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def cache_environment() -> dict[str, str]:
    """Environment variables that give a process yet to start the cache of this one."""
    if not jax.config.jax_enable_compilation_cache:
        return {"JAX_ENABLE_COMPILATION_CACHE": "0"}
    if not jax.config.jax_compilation_cache_dir:
        return {}
    names = ("jax_compilation_cache_dir", *_SETTINGS)
    return {name.upper(): str(getattr(jax.config, name)) for name in names}


@contextmanager
def command_cache(off: bool = False) -> None:
    """For a command: compiled code is kept as by `compile_cache()`, silently, and what is damaged is replaced.

    JAX compiles anew what it cannot read, but overwrites nothing: an entry cut short by Ctrl-C would be paid for at
    every start. It warns before it writes, so an entry removed at the warning is written again at once. A cache that
    was set before is left to JAX.

    Args:
      off: no cache at all, not even one that is set.
    """
    if off:
        jax.config.update("jax_enable_compilation_cache", False)
    set_before = jax.config.jax_compilation_cache_dir
    folder = compile_cache()
    if folder is None or set_before:
        yield
        return
    with warnings.catch_warnings():
        show = warnings.showwarning

        def mended(message, *where, **more):
            complaint = _COMPLAINT.match(str(message))
            if complaint is None:
                show(message, *where, **more)
            elif complaint[1] == "reading":
                for entry in folder.glob(f"{complaint[2]}-*-cache"):  # JAX does not say which of them is damaged
                    with suppress(OSError):
                        entry.unlink()

        warnings.showwarning = mended
        yield


def _chosen() -> Path | None:
    """The folder of the environment, or jaxmech's in the user's cache folder; None where there is to be none."""
    told = os.environ.get(_VARIABLE)
    if told is not None:
        return None if told.strip().lower() in ("", "off") else Path(told)
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(shared):  # by the standard, a relative one is ignored
        return Path(shared) / "jaxmech"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local") / "jaxmech" / "cache"
    return Path("~/Library/Caches" if sys.platform == "darwin" else "~/.cache") / "jaxmech"


def _writable(folder) -> Path | None:
    """The folder for this processor and JAX in a folder, made where it is missing; None where it cannot be written."""
    if folder is None:
        return None
    try:
        folder = folder.expanduser().absolute() / f"jax-{jax.__version__}-{_processor()}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: nobody's home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _processor() -> str:
    """What tells this type of processor from others, as a word."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        rows = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in first.splitlines() if ":" in line)
        known = [rows.get(name, "") for name in _IDENTITY]
    except OSError:  # not Linux
        known = [platform.processor()]
    return f"{platform.machine()}-{hashlib.sha256(repr(known).encode()).hexdigest()[:8]}"
