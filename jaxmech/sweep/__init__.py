"""Sweeps: one solver over many markets, as a labelled Dataset."""

from jaxmech.sweep.dataset import provenance, to_dataset, write
from jaxmech.sweep.design import Design, Range, make_design
from jaxmech.sweep.engine import STATUS, run
from jaxmech.tables import whole_number

__all__ = ["STATUS", "Design", "Range", "make_design", "provenance", "sweep", "write"]


def sweep(
    market,
    alpha,
    over=None,
    *,
    kind="grid",
    points=None,
    seed=0,
    derivatives=False,
    batch=None,
    progress=None,
    path=None,
):
    """Solve a market over a design of parameters and label the answers.

    Args:
      market: the market to start from.
      alpha: weight on revenue: a number, values, or a Range in a random design.
      over: values of parameters by name: "GROUP.FIELD" or "GROUP.FIELD.factor", GROUP a name or "all", FIELD a field of
        the law, risk_capacity or count; "all.endowment.factor" stretches endowments whole.
      kind: "grid" for all combinations, "zip" for lists read together, "random" for draws from Ranges.
      points: draws of a random design.
      seed: of a random design.
      derivatives: also d revenue and d efficiency to α, κ, counts and all law parameters at each point.
      batch: points a micro-batch; the measured best if not given.
      progress: a bar with rate and remaining time; None shows it on a terminal.
      path: also write the Dataset there, .nc or .zarr.

    Returns:
      xarray.Dataset. `status` says what became of each point; invalid points are NaN and harm no other. Ctrl-C returns
      what is done, with attribute interrupted = 1. Needs the extra `data`.

    Raises:
      MarketError: bad names, values or ranges, an empty sweep; before anything is compiled.
    """
    batch = None if batch is None else whole_number("batch", batch, 1)
    plan = make_design(market, alpha, over, kind, points, seed)
    dataset = to_dataset(plan, *run(plan, derivatives, batch, progress))
    if path is not None:
        write(dataset, path)
    return dataset
