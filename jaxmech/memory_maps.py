"""A session stays alive: compiled code is given back before its memory maps run out.

Every compiled loop holds memory maps, of which Linux allows a process 65,530; at the next one LLVM aborts the whole
process. So when more than a third of them are used everything that is compiled is dropped; what is asked for again is
compiled again.
"""

import gc
from pathlib import Path

import jax

MOST = 22_000
_BETWEEN = 10  # programs compiled between two looks: one holds a few hundred maps at most
_MAPS = Path("/proc/self/maps")
_count = {"compiled": 0, "seen": 0}


def _note(event, *_, **__):
    _count["compiled"] += event.endswith("backend_compile_duration")


jax.monitoring.register_event_duration_secs_listener(_note)


def used() -> int:
    """Memory maps of this process; 0 where the system does not tell."""
    try:
        return _MAPS.read_bytes().count(b"\n")
    except OSError:
        return 0


def give_back():
    """Drop all compiled code if its maps are many. Called before a compiled function is, outside of any trace."""
    if _count["compiled"] - _count["seen"] < _BETWEEN:
        return
    _count["seen"] = _count["compiled"]
    if used() > MOST:
        jax.clear_caches()
        gc.collect()
