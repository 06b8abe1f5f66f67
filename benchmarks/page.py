"""From what was measured to docs/performance.md: tables, plots, what matters at the top. Nothing is measured here."""

import importlib
from pathlib import Path

ORDER = (
    "public_calls",
    "growth",
    "time_spent",
    "batch_size",
    "groups",
    "laws",
    "quadratic_programme",
    "derivatives",
    "first_result",
    "memory",
    "accelerator",
)
# What was aimed at: (what, section, figure, mark, whether more is better).
MARKS = (
    ("optimistix over `vmap` of solve, outcomes", "public_calls", "optimistix over vmap", 4, True),
    ("the same with certify", "public_calls", "optimistix over vmap, certified", 2.5, True),
    ("`vmap` over the batch behind", "public_calls", "vmap over trailing axes", 1.25, False),
    ("a million distinct traders, arrays to certificate, s", "public_calls", "seconds of a million traders", 5, False),
    ("multipliers over the floor of erf and exp", "time_spent", "multipliers over floor", 1.3, False),
    ("full point over multipliers", "time_spent", "full point over multipliers", 2.5, False),
    ("optimistix over multipliers, N = 5", "growth", "optimistix over ours at 5", 25, True),
    ("optimistix over multipliers, N = 50", "growth", "optimistix over ours at 50", 1000, True),
    ("growth exponent in traders, from N = 100 on", "groups", "exponent in traders", 1.1, False),
    ("gradient of the optimum over its value", "derivatives", "gradient: ratio", 3, False),
    ("multiplier solves a second on a GPU, float64", "accelerator", "solves a second", 1e8, True),
    ("largest difference between CPU and GPU", "accelerator", "apart", 1e-11, False),
)
INTRODUCTION = """\
# Performance

{head}

`make performance` measures everything on this page again and writes it; `python benchmarks/performance.py --only NAME`
one section, `--render` the page alone from `docs/performance.json`. Compilation is kept apart, figures are medians of
interleaved runs in one process, every answer of ours is certified, and a peer whose answer differs ends the run.
"""


def text_of(number):
    """A number as a reader wants it: three digits, thousands set apart."""
    if number is None:
        return ""
    if isinstance(number, str):
        return number
    if isinstance(number, int) or abs(number) >= 1000:
        return f"{number:,.0f}" if abs(number) < 1e7 or isinstance(number, int) else f"{number:.2e}"
    return f"{number:.1e}" if number and abs(number) < 1e-3 else f"{number:.3g}"


def table_text(table):
    columns, rows = table["columns"], table["rows"]
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *([text_of(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def surroundings_text(where):
    versions = ", ".join(
        f"{name} {where[name]}" for name in where if name not in ("device", "processor", "cpus", "load")
    )
    busy = f"; load average {where['load']:.1f} at the start" if "load" in where else ""
    return f"{where['processor']}, {where['cpus']} cores, device {where['device']}; {versions}{busy}"


def section_text(name, result):
    """One section: heading, text, command, tables, plots, notes."""
    heading, _, text = importlib.import_module(f"sections.{name}").__doc__.strip().partition("\n")
    measured = result["measured"]
    command = f"```sh\npython benchmarks/performance.py --only {name}\n```"
    plots = [f"![{plot['y']} by {plot['x']}](images/performance_{plot['name']}.png)" for plot in measured["plots"]]
    where = f"*{surroundings_text(result['where'])}; {result['seconds']:.0f} s.*"
    parts = [f"## {heading}", text.strip(), command, *map(table_text, measured["tables"]), *plots, *measured["notes"]]
    return "\n\n".join([*parts, where])


def figure(results, section, name):
    figures = results[section]["measured"]["figures"] if section in results else None
    return (figures or {}).get(name)


def marks_text(results):
    """What was aimed at, and what came of it."""
    rows = []
    for what, section, name, mark, more in MARKS:
        got = figure(results, section, name)
        reached = None if got is None else (got >= mark if more else got <= mark)
        verdict = {None: "not measured", True: "reached", False: "**not reached**"}[reached]
        rows.append([what, got, f"{'≥' if more else '≤'} {text_of(mark)}", verdict])
    return "## What was aimed at\n\n" + table_text({"columns": ["figure", "measured", "mark", ""], "rows": rows})


def head(results):
    """The lines that matter, of what was measured."""
    lines = {
        "public_calls": "**A market** of five distinct traders takes {vmapped point} µs under `vmap` with all "
        "outcomes, {vmapped certified point} with its certificate; a vmapped dense Newton (optimistix) takes "
        "{optimistix over vmap} and {optimistix over vmap, certified} times as long, for the multipliers alone.",
        "time_spent": "**The kernel** takes {multipliers} µs for the multipliers, {multipliers over floor} times what "
        "erf and exp alone cost; outcomes and certificate make it {full point over multipliers} times as much.",
        "growth": "**Peers:** optimistix takes {optimistix over ours at 5} times as long at five traders, "
        "{optimistix over ours at 50} times at fifty, at equal residual.",
        "groups": "**Large markets:** the multipliers of {most traders} distinct traders in "
        "{seconds of the largest market} s; growth exponent {exponent in traders} in traders.",
        "derivatives": "**Derivatives:** all 17 of the optimum for {gradient: ratio} times the value.",
        "first_result": "**First result** after {first result} s, from the compile cache after {from the cache} s.",
    }
    figures = {name: results[name]["measured"]["figures"] or {} for name in lines if name in results}
    shown = {name: {key: text_of(number) for key, number in own.items()} for name, own in figures.items()}
    return "\n".join("- " + _filled(lines[name], own) for name, own in shown.items())


def _filled(line, numbers):
    for name, text in numbers.items():
        line = line.replace("{" + name + "}", text)
    return line


def busy_text(results):
    """A warning where other work ran beside the measurements."""
    about = {name: result["where"] for name, result in results.items()}
    busy = [name for name, where in about.items() if where.get("load", 0) > where["cpus"]]
    if not busy:
        return []
    names = ", ".join(f"`{name}`" for name in busy)
    return [f"**Measured beside other work,** so that times are too long and ratios rough: {names}."]


def page(results):
    """The whole page from {section: result}; sections not measured yet are left out."""
    sections = [section_text(name, results[name]) for name in ORDER if name in results]
    missing = ", ".join(f"`{name}`" for name in ORDER if name not in results)
    absent = [f"**Not measured yet:** {missing}."] if missing else []
    introduction = INTRODUCTION.format(head=head(results)).strip()
    return "\n\n".join([introduction, *busy_text(results), *absent, marks_text(results), *sections]) + "\n"


def draw(results, folder):
    """Every plot as a PNG in the folder; returns their paths."""
    import matplotlib

    matplotlib.use("Agg")
    from jaxmech.reports.plots import STYLE

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        plots = [plot for name in ORDER if name in results for plot in results[name]["measured"]["plots"]]
        return [_drawn(plot, folder / f"performance_{plot['name']}.png") for plot in plots]


def _drawn(plot, path):
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    axes_of, (figure, axes) = "osD^vP*", plt.subplots(figsize=(7.0, 3.4))
    for marker, (label, (xs, ys)) in zip(axes_of, plot["series"].items(), strict=False):
        axes.loglog(xs, ys, marker=marker, markersize=4, label=label)
    axes.set(xlabel=plot["x"], ylabel=plot["y"])
    places = sorted({x for xs, _ in plot["series"].values() for x in xs})
    if places[-1] < 1000 * places[0]:  # powers of ten say little on a short axis
        axes.set_xticks(places, [text_of(place) for place in places])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
    return Path(path)
