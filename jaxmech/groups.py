"""Arrays of groups: groups are the first axis, batches of markets, if any, the axes behind it.

XLA's CPU loops run along the last axis and need it long and contiguous: with batches in front a solve takes three times
as long. `vmap` over markets works as well.
"""

import jax.numpy as jnp


def total(values):
    """Sum over groups. As a product with ones: XLA's CPU backend would fuse a plain sum with all that leads to it, and
    compute that anew for every use."""
    ones = jnp.ones(values.shape[:1], values.dtype)
    return jnp.tensordot(ones, values, axes=1, precision="highest")


def norm(values):
    """Euclidean norm over groups, at least as large as the largest of them."""
    return jnp.sqrt(total(values**2))


def mirrored(left, right):
    """The pair (left, −right) as rows of one array, shape (2, G, ...)."""
    return jnp.stack([left, -right])


def mirrored_types(left, right, axes):
    """The same for types of shape (..., G, batch...), `axes` the number of the last ones: (..., 2, G, batch...)."""
    return jnp.stack(jnp.broadcast_arrays(left, -right), axis=-axes - 1)
