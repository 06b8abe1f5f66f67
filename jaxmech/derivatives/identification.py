"""What targets say about parameters: rank, standard errors, and the changes that targets do not see."""

from typing import NamedTuple

import numpy as np

_RANK = 1e-7  # singular values below this share of the largest count as 0
_LOADING = 1e-6  # a parameter with more than this in the null space is not identified


class Identification(NamedTuple):
    """Read off the Jacobian of the scaled residuals in t, where t in [0, 1] runs over each parameter's range."""

    rank: int
    condition: float  # largest over smallest singular value; ∞ where the rank is short
    free: np.ndarray  # (parameters,) booleans: True where the parameter is not identified
    unseen: np.ndarray  # (parameters − rank, parameters): directions in t that leave the targets unchanged
    covariance: np.ndarray  # (parameters, parameters) of t when residuals have variance 1; NaN where not identified


def identification(jacobian, least) -> Identification:
    """Identification by singular values.

    Args:
      least: singular values below it are rounding, whatever the largest.
      jacobian: of the residuals, scaled by standard errors for the covariance to mean anything, (targets, parameters).
    """
    number = jacobian.shape[1]
    # A slope that is no number says nothing of its parameter, no more than 0 does.
    _, sizes, directions = np.linalg.svd(np.nan_to_num(jacobian, posinf=0.0, neginf=0.0), full_matrices=True)
    rank = int(np.sum(sizes > max(_RANK * sizes[0], least)))
    seen, unseen = directions[:rank], directions[rank:]
    unseen = np.where(unseen**2 > _LOADING, unseen, 0.0)
    free = np.sum(unseen**2, axis=0) > _LOADING
    covariance = (seen.T / sizes[:rank] ** 2) @ seen
    covariance = np.where(free[:, None] | free, np.nan, covariance)
    return Identification(rank, float(sizes[0] / sizes[-1]) if rank == number else np.inf, free, unseen, covariance)


def correlation(covariance):
    """Correlations of a covariance matrix; NaN where it is."""
    deviation = np.sqrt(np.diag(covariance))
    return covariance / np.outer(deviation, deviation)
