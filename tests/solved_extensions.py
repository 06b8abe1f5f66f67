"""Twelve markets with outside options, welfare weights and revenue targets, solved elsewhere (beyond §17)."""

import json
from pathlib import Path

import numpy as np

import jaxmech as jm
from jaxmech.market.outside import OutsideOption

CASES = json.loads((Path(__file__).parent / "reference" / "extension_cases.json").read_text())
BY_NAME = {case["name"]: case for case in CASES}
FAMILIES = {"uniform": jm.Uniform, "truncated_normal": jm.TruncatedNormal, "beta": jm.Beta}
_OTHERS = {"family", "risk_capacity", "count", "welfare_weight", "outside"}


def market_of(case):
    """The market of a case, one group a row."""
    return jm.Market.of(
        *(
            jm.Traders(
                FAMILIES[row["family"]](**{key: value for key, value in row.items() if key not in _OTHERS}),
                row["risk_capacity"],
                row["count"],
                welfare_weight=row["welfare_weight"],
                outside=OutsideOption(**row["outside"]),
            )
            for row in case["traders"]
        )
    )


def solved(name):
    """The mechanism of a case."""
    case = BY_NAME[name]
    return jm.solve(market_of(case), case["alpha"], case["minimum_revenue"])


def by_trader(case, key):
    """Numbers of the groups of a case, one a trader."""
    return np.repeat(case[key], [row["count"] for row in case["traders"]])
