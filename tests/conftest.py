import gc

import jax
import pytest

jax.config.update("jax_enable_x64", True)


@pytest.fixture(autouse=True, scope="module")
def compiled_code_is_given_back():
    """Every compiled function holds memory maps, of which Linux allows a process 65,530: one file at a time."""
    yield
    jax.clear_caches()
    gc.collect()
