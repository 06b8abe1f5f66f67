"""Every contract in files of the Commitments of Traders: a certified market at α = 0, ½ and 1, or why there is none.

    python experiments/every_contract.py FILES... [--window 8] [--out table.csv]

`jaxmech.cot_market` says how positions become a market. Markets with as many groups are solved as one batch.
"""

import argparse
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

import jaxmech as jm

ALPHAS = (0.0, 0.5, 1.0)


def markets_of(reports, window):
    """A CotMarket, or the text that says why there is none, for each contract."""
    for contract in reports.contracts:
        try:
            yield contract, jm.cot_market(reports, contract.code, window=window)
        except jm.MarketError as error:
            yield contract, str(error).removeprefix(f"{contract.name}: ")


def solved(markets):
    """Rows of what each market does, all with the same number of groups."""
    batch = jax.tree.map(
        lambda *leaves: jnp.stack(leaves, axis=-1), *(replace(one.market, names=()) for one in markets)
    )
    mechanisms = [jm.solve(batch, alpha) for alpha in ALPHAS]
    certificates = [jm.certify(mechanism) for mechanism in mechanisms]
    most = jm.outcomes(mechanisms[-1])
    return pd.DataFrame(
        {
            "certified": np.all([certificate.ok for certificate in certificates], axis=0),
            "largest_gap": np.max([certificate.duality_gap for certificate in certificates], axis=0),
            "largest_revenue_share": np.asarray(most.revenue / most.first_best_surplus),
        }
    ).to_dict("records")


def table(reports, window):
    """One row a contract, a DataFrame."""
    found = [(contract.summary(), market) for contract, market in markets_of(reports, window)]
    rows = [
        facts | {"groups": 0, "certified": False, "why": market} for facts, market in found if isinstance(market, str)
    ]
    kept = sorted(((f, m) for f, m in found if not isinstance(m, str)), key=lambda pair: pair[1].market.groups)
    for groups, same in groupby(kept, lambda pair: pair[1].market.groups):
        facts, markets = zip(*same, strict=True)
        for fact, market, row in zip(facts, markets, solved(markets), strict=True):
            out = "; ".join(f"{name} left out: {reason}" for name, reason in market.left_out.items())
            rows.append(fact | {"groups": groups, "why": "; ".join(filter(None, [out, *market.notes]))} | row)
    return pd.DataFrame(rows).sort_values("name", ignore_index=True)


def counts(frame):
    """How many contracts come to which end, as text."""
    refused, certified = frame["groups"] == 0, frame["certified"]
    ends = (
        f"{certified.sum()} certified at α = 0, ½ and 1, {(~certified & ~refused).sum()} not, {refused.sum()} refused"
    )
    by_groups = frame["groups"][certified].value_counts().sort_index(ascending=False)
    return "\n".join(
        [
            f"{len(frame)} contracts: {ends}",
            *(f"  {number} with {groups} groups" for groups, number in by_groups.items()),
        ]
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="yearly files of one report")
    parser.add_argument("--window", type=int, default=8, help="reports whose mean is a week's level; 0: all reports")
    parser.add_argument("--out", type=Path, help="CSV file for the table")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    try:
        frame = table(jm.read_cot(options.files), options.window)
    except jm.MarketError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        frame[frame["groups"] > 0]
        .drop(columns=["code", "first", "last", "open_interest", "why"])
        .to_string(index=False)
    )
    for row in frame[frame["why"] != ""].itertuples():
        print(f"{row.name}: {row.why}")
    print(counts(frame))
    if options.out:
        frame.to_csv(options.out, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
