import gc
import os
from importlib.metadata import version
from pathlib import Path

# Compiled code is kept between files, workers and runs, and for the processes that tests start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Almost all of the suite's time is compilation, and this takes 40% off it. A jaxlib that does not know a flag ends the
# process, so only those that are known to.
if version("jaxlib").startswith("0.10."):
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")

import jax
import pytest

jax.config.update("jax_enable_x64", True)


@pytest.fixture(autouse=True, scope="module")
def compiled_code_is_given_back():
    """Every compiled function holds memory maps, of which Linux allows a process 65,530: one file at a time."""
    yield
    jax.clear_caches()
    gc.collect()
