"""Markets: traders with their laws, what they must be, and the names of their numbers."""

from jaxmech._moved import moved


def __getattr__(name):
    return moved("market", "market.market", name)
