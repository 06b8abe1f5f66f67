"""What a page says in words: a sentence for each picture, and the Python that makes the same numbers."""

from collections.abc import Mapping
from typing import Any

from jaxmech.explorer.state import State


def sentences(numbers: Mapping[str, Any], series: Mapping[str, Any]) -> dict[str, str]:
    """A sentence for each picture that there is, by its name.

    Args:
      numbers: a `mechanism_report`.
      series: of `Model.answer`.
    """
    surplus, groups = numbers["first_best_surplus"], numbers["groups"]
    share = numbers["revenue"] / surplus
    lost = (numbers["first_best_efficiency"] - numbers["efficiency"]) / surplus
    most = max(groups, key=lambda group: group["revenue"])
    idle = max(groups, key=lambda group: group["no_expected_trade_probability"])
    said = {
        "groups": f"{most['name']} pays most, {most['revenue']:.4g} in all; of {idle['name']} "
        f"{idle['no_expected_trade_probability']:.1%} expect no more trade than they have elsewhere.",
    }
    if "frontier" in series:
        said["frontier"] = (
            f"Revenue is {numbers['revenue']:.5g}, {share:.2%} of the first-best gains from trade, of which {lost:.2%} "
            f"are lost; the budget binds below α = {series['frontier']['budget_weight']:.4g}."
        )
    if "curves" in series:
        low, high = idle["binding_interval"]
        said["allocation"] = (
            f"{idle['name']} of endowments from {low:.4g} to {high:.4g} gain no more here than elsewhere."
        )
        spreads, fees = series["curves"]["spread"], series["curves"]["fee"]
        wide = max(range(len(groups)), key=lambda k: spreads[k])
        said["payments"] = (
            f"The widest bid–ask spread is that of {groups[wide]['name']}, {spreads[wide]:.4g} money per unit; "
            f"its participation fee is {fees[wide]:.4g}."
        )
    if series.get("sensitivity", {}).get("parameter"):
        bars = series["sensitivity"]
        change = bars["up"][0] if bars["up"][0] is not None else bars["down"][0]
        said["sensitivity"] = f"{bars['parameter'][0]} moves {bars['outcome']} most: 1% of it by {change or 0.0:+.3g}."
    if "outside_cost" in series:
        earned = [value for value in series["outside_cost"]["revenue"] if value is not None]
        ends = f" from {min(earned):.4g} to {max(earned):.4g}" if earned else " nowhere above its target"
        said["outside_cost"] = f"As the outside market's cost goes from a quarter to four times, revenue goes{ends}."
    return said


def python_lines(state: State, market: str = "market.toml") -> str:
    """The lines that make the numbers on the screen."""
    turned = ", ".join(f"{name!r}: {value!r}" for name, value in state.values.items())
    made = [f"market = market_at(market, {{{turned}}})"] if turned else []
    goals = {
        "alpha": f"mechanism = jm.solve(market, {state.aim!r})",
        "revenue": f"mechanism = jm.solve(market, 0.0, max({state.aim!r}, float(market.minimum_revenue or 0.0)))",
        "efficiency": f"mechanism = jm.frontier(market).mechanism_at(efficiency={state.aim!r})",
    }
    imports = ["import jaxmech as jm", *(["from jaxmech.market.parameters import market_at"] if turned else [])]
    lines = [*imports, "", f"market = jm.Market.from_toml({market!r})", *made, goals[state.goal]]
    return "\n".join([*lines, "print(jm.outcomes(mechanism), jm.certify(mechanism))"])
