import gc
import os
from collections import Counter
from pathlib import Path

# Compiled code is kept between files, workers and runs, and for the processes that tests start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
import jax
import pytest

jax.config.update("jax_enable_x64", True)


@pytest.fixture(autouse=True, scope="module")
def compiled_code_is_given_back():
    """Every compiled function holds memory maps, of which Linux allows a process 65,530: one file at a time."""
    yield
    jax.clear_caches()
    gc.collect()


def pytest_collection_modifyitems(items):
    """Files with many slow tests first: workers take whole files, and none should be left with a long one."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
