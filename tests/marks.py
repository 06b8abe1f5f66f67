"""Which cases of a claim `make test` runs, and which only `make exhaustive`."""

import pytest


def cases(values, kept):
    """All the values, those that are not kept with the mark `exhaustive`."""
    unknown = set(kept) - set(values)
    assert not unknown, unknown
    return [value if value in kept else pytest.param(value, marks=pytest.mark.exhaustive) for value in values]
