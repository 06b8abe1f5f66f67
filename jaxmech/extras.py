"""Optional dependencies, imported where they are needed, and the error that says how to install them."""

from contextlib import contextmanager


class MissingExtra(ModuleNotFoundError):
    """A package of an extra is not installed: says what to install."""


@contextmanager
def extra(name):
    """Imports of the packages that an extra brings; MissingExtra names it where one is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = error.name.partition(".")[0]
        raise MissingExtra(f'{package} is not installed; pip install "jaxmech[{name}]"', name=package) from None


def progress_bar(total, unit, shown=None):
    """A bar with rate and remaining time. shown: None (on a terminal only), True or False."""
    with extra("data"):
        from tqdm import tqdm

    return tqdm(total=total, unit=unit, unit_scale=True, smoothing=0.1, disable=None if shown is None else not shown)
