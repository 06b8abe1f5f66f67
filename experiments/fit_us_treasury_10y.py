"""The market of the 10-year US Treasury note future, fitted to public weekly positions of four kinds of traders.

    python experiments/fit_us_treasury_10y.py DATA.csv [--out experiments/markets/us_treasury_10y.toml]

DATA.csv is an extract as `jaxmech.read_cot` describes it; `jaxmech.cot_market` says what of the market is observed and
what is not. A figure that rests on this market rests on those choices.
"""

import argparse
import sys
from pathlib import Path

import jax

import jaxmech as jm

CONTRACT = "us_treasury_10y"
DEFAULT_OUT = Path(__file__).parent / "markets" / f"{CONTRACT}.toml"


def verify(path):
    """Solve the fitted market and print what it does; ValueError where an answer is not certified."""
    market = jm.Market.from_toml(path)
    print("condition 1:", jm.condition_1(market).tolist(), " condition 2:", jm.condition_2(market).tolist())
    print(f"w* = {float(jm.budget_weight(market)):.6g}")
    for alpha in (0.0, 0.5, 1.0):
        mechanism = jm.solve(market, alpha)
        jm.certify(mechanism).raise_if_failed(f"{path} at alpha {alpha:g}")
        achieved = jm.outcomes(mechanism)
        shown = {name: float(getattr(achieved, name)) for name in ("revenue", "efficiency", "first_best_efficiency")}
        shown |= {"w": float(mechanism.weight)}
        print(f"alpha {alpha:g}:", ", ".join(f"{name} {value:.6g}" for name, value in shown.items()))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="weekly positions, a CSV file")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="the market's TOML file")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        found = jm.cot_market(options.data, CONTRACT, out=options.out, observations=options.out.with_suffix(".csv"))
    except jm.MarketError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(found.toml)
    verify(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
