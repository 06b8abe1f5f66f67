"""A sweep that is killed, starved of disk and damaged, and loses nothing: the figures are counted at the end.

    python experiments/survive.py                 # 200 kills
    python experiments/survive.py --kills 6 --points 3000

One sweep by two Dask workers is killed at random moments, a worker or the driver by SIGKILL, and resumed, until it has
been killed as often as asked for; whenever it completes, chunks drawn at random are dropped, so that it goes on. Then a
disk that is full, a folder that is read-only, chunks cut, flipped and deleted, records cut. Every time the sweep must
say what is wrong, or complete, and at the end hold the bytes of an undisturbed run. Random numbers are seeded; the
moments of the kills are those of the machine.
"""

import argparse
import hashlib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import psutil
from constant_memory import MARKET

from jaxmech.sweep import repair, verify
from jaxmech.sweep.store import opened

jax.config.update("jax_enable_x64", True)

SPEC = """
market = "market.toml"
design = "random"
points = {points}
alpha = {{ from = 0.0, to = 1.0 }}
[over]
"fund.risk_capacity" = {{ from = 0.1, to = 10.0, scale = "log" }}
"all.endowment.factor" = {{ from = 0.5, to = 2.0 }}
"""
COMMAND = [sys.executable, "-m", "jaxmech.cli", "sweep"]
CLUSTER = ["--engine", "local-cluster", "--workers", "2"]


class Sweep:
    """The sweep under test: its spec, its folder, and its command."""

    def __init__(self, folder, points):
        self.folder, self.out = folder, folder / "out"
        (folder / "market.toml").write_text(MARKET)
        (folder / "spec.toml").write_text(SPEC.format(points=points))
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "compiled"))
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        self.log = (folder / "log").open("a")

    def start(self, out, *options, limit=None):
        """The command, begun; `limit`: bytes that a file of it may have."""
        arguments = [*COMMAND, str(self.folder / "spec.toml"), "--out", str(out), "--resume", "--no-figures"]
        capped = limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        return subprocess.Popen(
            [*arguments, "--format", "zarr", *options], stdout=self.log, stderr=self.log, text=True, preexec_fn=capped
        )

    def run(self, out, *options, limit=None):
        """Its exit code."""
        return self.start(out, *options, limit=limit).wait()

    def last(self):
        """What the command said last."""
        said = [line for line in (self.folder / "log").read_text().splitlines() if line.startswith("jaxmech:")]
        return said[-1] if said else "nothing"

    @property
    def store(self):
        return self.out / "sweep.zarr"


def digest(path):
    """sha256 of a store's data and metadata, names and bytes of files; records hold process numbers and seconds."""
    found = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.parent.name != "manifest" and file.name != "lock":
            found.update(file.relative_to(path).as_posix().encode() + file.read_bytes())
    return found.hexdigest()


def kill_one(process, generator):
    """SIGKILL the driver or one of its workers; which of the two was killed. Mostly none while no worker is there."""
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    if not workers and generator.random() < 0.97:
        return "nobody"
    victim = generator.choice([None, *workers])
    if victim is None:
        process.kill()
        process.wait()
        psutil.wait_procs(workers, 60)  # they end by themselves, and may write a last chunk until then
        return "driver"
    victim.kill()
    return "worker"


def killed_and_resumed(sweep, kills, generator, chunks):
    """Kill and resume until there were so many kills; how many of whom, and resumptions."""
    counts, process = Counter(), None
    while counts["driver"] + counts["worker"] < kills:
        if process is None or process.poll() is not None:
            if process is not None and process.returncode == 0:  # done too early: there must be something to lose
                for chunk in generator.sample(range(chunks), max(1, chunks // 2)):
                    opened(sweep.store).forget(chunk)
            process, counts["started"] = sweep.start(sweep.out, *CLUSTER), counts["started"] + 1
        time.sleep(generator.uniform(0, 1))
        try:
            counts[kill_one(process, generator)] += 1
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        print(f"  {dict(counts)}", file=sys.stderr, flush=True)
    process.kill()
    process.wait()
    return counts


def full_disk(sweep):
    """A disk that takes no more: a small tmpfs where we may mount one, else a limit on the size of files."""
    out = sweep.folder / "full"
    out.mkdir()
    bytes_of_chunk = max(file.stat().st_size for file in (sweep.store / "values/c").rglob("*") if file.is_file())
    mounted = os.geteuid() == 0 and mount(out, f"size={3 * bytes_of_chunk + 2**16}")
    code = sweep.run(out, limit=None if mounted else bytes_of_chunk // 2)
    whole = [damage.reason for damage in verify(out / "sweep.zarr")]
    if mounted:
        subprocess.run(["mount", "-o", "remount,size=1g", str(out)], check=True)
    return (
        told(sweep, code, ("No space left", "File too large"))
        and set(whole) <= {"not computed"}
        and resumed(sweep, out, mounted)
    )


def read_only_folder(sweep):
    """A folder that takes nothing."""
    out = sweep.folder / "closed"
    out.mkdir()
    mounted = os.geteuid() == 0 and mount(out, "ro")
    if not mounted and os.geteuid() == 0:
        return None  # root writes anywhere
    if not mounted:
        out.chmod(0o500)
    code = sweep.run(out)
    if not mounted:
        out.chmod(0o700)
    else:
        subprocess.run(["mount", "-o", "remount,rw", str(out)], check=True)
    return told(sweep, code, ("Read-only", "denied")) and resumed(sweep, out, mounted)


def mount(folder, options):
    """Whether a tmpfs could be mounted on the folder."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


def told(sweep, code, words):
    """Whether the command ended with code 2 and named what was wrong."""
    return code == 2 and any(word in sweep.last() for word in words)


def resumed(sweep, out, mounted):
    """Whether the sweep completes there when the trouble is over, with the right bytes."""
    good = sweep.run(out) == 0 and digest(out / "sweep.zarr") == sweep.expected
    if mounted:
        subprocess.run(["umount", str(out)], check=True)
    return good


def cut(file, generator):
    file.write_bytes(file.read_bytes()[: generator.randrange(file.stat().st_size)])


def flipped(file, generator):
    data = bytearray(file.read_bytes())
    place = generator.randrange(8 * len(data))
    data[place // 8] ^= 1 << place % 8
    file.write_bytes(data)


def deleted(file, generator):
    file.unlink()


def damaged(sweep, harm, pattern, generator, times):
    """Damage files one at a time: how often it was found, told by chunk, and mended to the same bytes."""
    good = 0
    for _ in range(times):
        harm(generator.choice(sorted(file for file in sweep.store.glob(pattern) if file.is_file())), generator)
        found = verify(sweep.store)
        done = repair(sweep.store, progress=False)
        good += len(found) == done.computed == 1 and digest(sweep.store) == sweep.expected
    return good


def lost_and_wrong(sweep, reference):
    """Points without an answer, and points whose numbers are not those of the undisturbed run."""
    lost = wrong = 0
    store, undisturbed = opened(sweep.store), opened(reference)
    for chunk in range(store.design.chunks):
        found, expected = store.read(chunk), undisturbed.read(chunk)
        lost += int(np.sum(found["status"] < 0))
        pairs = [(one.reshape(len(one), -1), expected[name].reshape(len(one), -1)) for name, one in found.items()]
        same = [((one == other) | (np.isnan(one) & np.isnan(other))).all(axis=1) for one, other in pairs]
        wrong += int(np.sum(~np.all(same, axis=0)))
    return lost, wrong


def survived(sweep, options):
    """Whether nothing was lost; prints what was done and found."""
    generator = random.Random(options.seed)
    reference = sweep.folder / "undisturbed"
    if sweep.run(reference) != 0:
        raise SystemExit(f"the undisturbed sweep failed: {sweep.last()}")
    reference /= "sweep.zarr"
    sweep.expected, chunks = digest(reference), opened(reference).design.chunks
    counts = killed_and_resumed(sweep, options.kills, generator, chunks)
    finished = sweep.run(sweep.out) == 0 and sweep.run(sweep.out, *CLUSTER) == 0
    full, closed = full_disk(sweep), read_only_folder(sweep)
    mended = {
        f"{name} {what}": damaged(sweep, harm, pattern, generator, options.damages)
        for what, pattern in (("chunks", "*/c/**/*"), ("records", "manifest/*.json"))
        for name, harm in (("cut", cut), ("flipped", flipped), ("deleted", deleted))
    }
    lost, wrong = lost_and_wrong(sweep, reference)
    equal = digest(sweep.store) == sweep.expected
    found = ", ".join(f"{good} of {options.damages} {name} mended" for name, good in mended.items())
    answers = {True: "told and resumed", False: "FAILED", None: "not tried: root writes anywhere"}
    print(
        f"{options.points:,} points in {chunks} chunks: {counts['worker'] + counts['driver']} kills "
        f"({counts['worker']} workers, {counts['driver']} drivers, {counts['started']} starts), full disk "
        f"{answers[full]}, read-only folder {answers[closed]}, {found}: {lost} points lost, {wrong} wrong, "
        f"bytes {'equal' if equal else 'NOT EQUAL'} to an undisturbed run"
    )
    good = finished and full and closed in (True, None) and lost == wrong == 0 and equal
    return good and all(number == options.damages for number in mended.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--damages", type=int, default=20, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="survive"))
    try:
        sys.exit(0 if survived(Sweep(folder, options.points), options) else 1)
    finally:
        for name in ("full", "closed"):  # still mounted only after a failure
            subprocess.run(["umount", str(folder / name)], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
