"""The bar of a sweep."""

from jaxmech.extras import extra


def progress_bar(points, progress):
    """A bar with rate and remaining time. progress: None (on a terminal only), True or False."""
    with extra("data"):
        from tqdm import tqdm

    disable = None if progress is None else not progress  # None: shown on a terminal only
    return tqdm(total=points, unit="point", unit_scale=True, smoothing=0.1, disable=disable)
