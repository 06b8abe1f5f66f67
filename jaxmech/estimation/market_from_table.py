"""A market file from a table of observed endowments."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from jaxmech.cells import listed
from jaxmech.estimation.fit import Fit, checked_options, fit
from jaxmech.estimation.observation_files import Format, checked_format
from jaxmech.estimation.observations import observations
from jaxmech.inputs import AnyPath, MarketError, file_to_write, positive_number, toml_text, whole_number
from jaxmech.market.market import Market, Traders
from jaxmech.plain import result

COUNT, RISK_CAPACITY = 10, 1.0  # assumed where nothing is given


@result()
class FittedMarket(NamedTuple):
    """A market fitted to a table. Made by `fit_market`."""

    toml: str  # what a market file says, as `Market.from_toml` reads it
    fits: dict  # Fit of each group by its name, in order of appearance
    refused: dict  # why no law was fitted, by the names of the groups that are left out
    reading: str  # how the table was read

    def report(self) -> str:
        """How the table was read, the report of each fit under its group's name, and the groups left out."""
        parts = [self.reading, *reports_of(self.fits)]
        return "\n\n".join([*parts, *(f"{name}: left out: {reason}" for name, reason in self.refused.items())])

    __str__ = report


def reports_of(fits) -> list:
    """The report of each fit under its group's name."""
    return [f"{name}: {made.report()}" for name, made in fits.items()]


def fit_market(
    data: Any,
    column: str,
    *,
    group_column: str | None = None,
    weights_column: str | None = None,
    family: str = "truncated_normal",
    count: int | Mapping[Any, int] = COUNT,
    risk_capacity: float | Mapping[Any, float] = RISK_CAPACITY,
    lower: float | Mapping[Any, float] | None = None,
    upper: float | Mapping[Any, float] | None = None,
    out: AnyPath | None = None,
    **settings: Any,
) -> FittedMarket:
    """Fit one law to each group of a table and write the market they make.

    Args:
      data: path of a text file or a workbook, a DataFrame, a dictionary of columns, or an xarray object; see
        `observations`.
      column: observed endowments, units of the asset. Empty cells, NA, null, #N/A, "." and "-" are missing.
      group_column: one group of traders for each of its values, in order of appearance; a single group if not given.
        Rows without a group are refused.
      weights_column: how often each row was seen.
      family: of all laws, as in `fit`; "best" chooses one for each group.
      count: traders of each group, whole number ≥ 1: what the market has, not how many rows there are.
      risk_capacity: κ > 0 of each trader. Neither this nor the count is in the data.
      lower, upper: ends of the support, where they are known.
      out: market file to write, if any.
      settings: how the table is written, as in `Format`; and what else `fit` takes, such as components.

    The count, the risk capacity and the ends are numbers, or dictionaries by group, in which None stands for all groups
    that are not named.

    Returns:
      FittedMarket. A group that no law can be fitted to is left out and `refused`.

    Raises:
      MarketError: no such table or column, cells that cannot be read, no group that a law can be fitted to, or a market
        that cannot be; before anything is written.
    """
    form = checked_format(**{name: settings.pop(name) for name in Format._fields if name in settings})
    checked_options(family, settings)
    out = file_to_write("out", out)
    table = observations(data, column, group_column, weights_column, form)
    samples = table.by_group()
    counts = _by_group("count", count, samples, partial(whole_number, least=1))
    capacities = _by_group("risk_capacity", risk_capacity, samples, positive_number)
    ends = [_by_group(name, given, samples) for name, given in (("lower", lower), ("upper", upper))]

    def fitted(name, sample):
        (values, weights), (lower, upper) = sample, (given[name] for given in ends)
        return fit(values, family, weights=weights, lower=lower, upper=upper, **settings)

    fits, refused = made_or_refused(samples, fitted)
    if not fits:
        reasons = listed([f"group {name}: {reason}" for name, reason in refused.items()])
        raise MarketError(f"{table.source}: no group that a law can be fitted to:\n  {reasons}")
    Market.of(*(Traders(made.law, capacities[name], counts[name], name) for name, made in fits.items()))
    asked = {"column": column, "group column": group_column, "weights column": weights_column}
    source = ", ".join(f"{key} {value!r}" for key, value in asked.items() if value is not None)
    facts = {"source": f"{table.source}, {source}", "reading": table.said}
    facts |= {} if table.digest is None else {"data_sha256": table.digest}
    facts |= {"endowment": f"{family} laws by jaxmech.fit_market", "not_in_the_data": "count and risk_capacity"}
    facts |= {f"left_out_{place}": f"{name}: {reason}" for place, (name, reason) in enumerate(refused.items(), 1)}
    text = written_market(out, table.name, fits, counts, capacities, facts, "Count and risk capacity are assumptions.")
    return FittedMarket(text, fits, refused, table.said)


def made_or_refused(parts, make):
    """What `make(name, part)` gives, by name, and why not where it raises a MarketError, by name."""
    made, refused = {}, {}
    for name, part in parts.items():
        try:
            made[name] = make(name, part)
        except MarketError as error:
            refused[name] = str(error)
    return made, refused


def written_market(out, name, fits, counts, capacities, facts, remark) -> str:
    """The TOML of a market with fitted laws, written to a file, if any; `facts` become its provenance, by key."""
    lines = [f"# Laws fitted to data. {remark}", f"name = {toml_text(name)}", ""]
    for group, made in fits.items():
        lines += ["[[traders]]", f"name = {toml_text(group)}", f"count = {counts[group]}"]
        lines += [
            f"risk_capacity = {toml_text(capacities[group])}",
            f"endowment = {toml_text(made.endowment_table())}",
            "",
        ]
    lines += ["[provenance]", *(f"{key} = {toml_text(value)}" for key, value in facts.items())]
    for place, (group, made) in enumerate(fits.items(), 1):
        lines.append(f"group_{place} = {toml_text(_said_of(group, made))}")
    text = "\n".join(lines) + "\n"
    if out is not None:
        out.write_text(text, encoding="utf-8")
    return text


def _said_of(group, made: Fit):
    errors = [f"{key} ± {value:.3g}" for key, value in made.standard_errors.items()][:8]
    parts = [
        f"{group}: {made.observations:g} observations",
        f"{made.missing} missing",
        f"log likelihood {made.log_likelihood:.6g}",
        f"KS distance {made.ks_statistic:.3g}",
        f"standard errors {', '.join(errors)}" if errors else "no parameters estimated",
        *made.notes,
    ]
    return "; ".join(parts)


def _by_group(name, given, groups, checked=None):
    """What is given for each group, None where nothing is, unless it is `checked`; MarketError for a name that is no
    group's."""
    values = dict(given) if isinstance(given, Mapping) else {None: given}
    for group in values:
        if group is not None and group not in groups:
            raise MarketError(f"{name}: no group {group!r} in the data; there are {', '.join(groups)}")
    values = {group: values.get(group, values.get(None)) for group in groups}
    if checked is None:
        return values
    for group, value in values.items():
        if value is None:
            raise MarketError(f"{name}: none given for group {group!r}; give one for each group, or one number for all")
    return {group: checked(f"{name} of {group}", value) for group, value in values.items()}
