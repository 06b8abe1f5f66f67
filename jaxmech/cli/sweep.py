"""The command `jaxmech sweep`: a sweep into a folder, its verification and its repair."""

import signal
import sys
import time
from pathlib import Path

from jaxmech.inputs import MarketError
from jaxmech.plain import json_text
from jaxmech.sweep.files import store_in

LARGEST_COPY = 2**31  # bytes of a netCDF copy of the store; what is larger is read from the store


def add_sweep(commands):
    """The parser of the command."""
    sweep = commands.add_parser(
        "sweep",
        help="solve a market over a design of parameters; verify or repair what was written",
        usage="jaxmech sweep SPEC --out FOLDER [options]\n       jaxmech sweep verify FOLDER\n"
        "       jaxmech sweep repair FOLDER [--engine ENGINE] [--workers N]",
    )
    sweep.add_argument("spec", help="TOML file of the sweep; or the word verify or repair")
    sweep.add_argument("folder", nargs="?", type=Path, help="folder to verify or repair")
    sweep.add_argument("--out", type=Path, help="folder for the store, data, summary and figures")
    sweep.add_argument("--resume", action="store_true", help="go on with an unfinished sweep of the same spec")
    sweep.add_argument("--engine", help="local-cluster or dask://HOST:PORT; this process if left out")
    sweep.add_argument("--workers", type=int, help="of a local cluster; one a core if left out")
    kinds = "nc: a netCDF copy too (default); zarr: the store alone"
    sweep.add_argument("--format", choices=("nc", "zarr"), default="nc", help=kinds)
    sweep.add_argument("--overwrite", action="store_true", help="remove results that are there first")
    sweep.add_argument("--no-figures", action="store_true", help="write no figures")
    sweep.add_argument("--json", action="store_true", help="print the summary as JSON")
    sweep.set_defaults(run=_run)


def say_written(paths):
    print("\n".join(["", "wrote", *(f"  {path}" for path in paths)]), file=sys.stderr)


def _run(options):
    """One of the three commands; what a batch system sends before it kills is taken for Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.spec in ("verify", "repair"):
            if options.folder is None or options.out is not None:
                raise MarketError(f"sweep {options.spec}: give the folder of a sweep and no --out")
            return (_verify if options.spec == "verify" else _repair)(options)
        if options.folder is not None or options.out is None:
            raise MarketError(f"sweep {options.spec}: give --out FOLDER, and no other word")
        return _sweep(options)
    finally:
        signal.signal(signal.SIGTERM, before)


def _sweep(options):
    from jaxmech.cli.specs import read_spec
    from jaxmech.sweep import stored_sweep

    plan, settings = read_spec(options.spec)
    _claim_folder(options)
    start = time.perf_counter()
    chosen = {name: getattr(options, name) for name in ("resume", "overwrite", "engine", "workers")}
    done = stored_sweep(options.out / "sweep.zarr", plan, **settings, **chosen)
    seconds = time.perf_counter() - start if done.computed == plan.chunks else None
    return _report(done, options.out, options, seconds)


def _repair(options):
    from jaxmech.sweep import repair

    done = repair(store_in(options.folder), engine=options.engine, workers=options.workers)
    chunks = f"{done.computed:,} of {done.store.design.chunks:,} chunks"
    print(f"{done.store.path}: {chunks} computed again", file=sys.stderr)
    return _report(done, options.folder, options, None)


def _verify(options):
    from jaxmech.sweep import verify

    path = store_in(options.folder)
    damages = verify(path)
    if options.json:
        print(json_text(damages))
    else:
        lines = [f"{'chunk ' if isinstance(where, int) else ''}{where}: {reason}" for where, reason in damages]
        print("\n".join([*lines, f"{path}: {len(damages):,} damaged or missing" if damages else f"{path}: whole"]))
    return 1 if damages else 0


def _report(done, folder, options, seconds):
    """Write and print what the sweep shows; the exit code."""
    from jaxmech.reports.sweep import sweep_summary, sweep_text
    from jaxmech.sweep.files import disk_errors_in_words, write_whole

    store = done.store
    summary = sweep_summary(store, done.interrupted)
    summary["failed_chunks"] = {str(chunk): reason for chunk, reason in done.failed.items()}
    text = sweep_text(summary, seconds)
    print(json_text(summary) if options.json else text)
    for chunk, reason in done.failed.items():
        print(f"jaxmech: chunk {chunk} was not computed: {reason}", file=sys.stderr)
    with disk_errors_in_words(folder):
        write_whole(folder / "summary.json", json_text(summary | {"seconds": seconds}) + "\n")
        write_whole(folder / "summary.txt", text + "\n")
        say_written([store.path, folder / "summary.txt", *_copies(store, folder, options)])
    if done.interrupted:
        return 130
    return 1 if summary["points"] > summary["status"]["ok"] else 0


def _copies(store, folder, options):
    """The netCDF copy and the figures that are asked for; their paths. What fails is told: the store is finished."""
    paths = []
    for name, made in {"sweep.nc": _netcdf_copy, "figures": _figures}.items():
        try:
            paths += made(store, folder, options)
        except Exception as error:  # whatever it is, the answers are there and whole
            remedy = (
                "mend that and run the same command again, which computes nothing, or read it by jaxmech.open_sweep"
            )
            said = f"{type(error).__name__}: {error}; {store.path} is finished: {remedy}"
            print(f"jaxmech: no {name}: {said}", file=sys.stderr)
    return paths


def _netcdf_copy(store, folder, options):
    from jaxmech.sweep import write
    from jaxmech.sweep.view import loaded_dataset, stored_dataset

    (folder / "sweep.nc").unlink(missing_ok=True)
    if options.format != "nc":
        return []
    size = stored_dataset(store).nbytes
    if size > LARGEST_COPY:
        print(f"jaxmech: no sweep.nc, it would take {size / 1e9:.1f} GB: open_sweep reads the store", file=sys.stderr)
        return []
    return [write(loaded_dataset(store), folder / "sweep.nc")]


def _figures(store, folder, options):
    if options.no_figures:
        return []
    from jaxmech.reports.plots import sweep_figures
    from jaxmech.sweep.view import stored_dataset

    return sweep_figures(stored_dataset(store), folder)


def _claim_folder(options):
    """Make the output folder; refuse one of other files, unless told to overwrite."""
    folder = options.out
    strange = folder.is_dir() and any(folder.iterdir()) and not (folder / "sweep.zarr").exists()
    if strange and not options.overwrite:
        raise MarketError(f"--out {folder}: is not empty and not from a sweep; choose another or add --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MarketError(f"--out {folder}: {error.strerror}; choose another folder") from None
