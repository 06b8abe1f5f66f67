"""One case in a process of its own: seconds to the first result and again, and the most memory it held.

    python benchmarks/fresh.py CASE SIZE

Prints one line of JSON. `alone(case, size)` runs it and reads that line.
"""

import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
CACHE = "JAX_COMPILATION_CACHE_DIR"


def alone(case, size, cache=None):
    """What the case prints in a fresh process on the CPU, with a compilation cache in the folder given, or none."""
    environment = dict(os.environ, JAX_PLATFORMS="cpu", PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    environment.pop(CACHE, None)
    if cache:
        environment |= {CACHE: str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        environment |= {"JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    command = [sys.executable, str(HERE / "fresh.py"), case, str(size)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case} of {size}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def most_memory():
    """Largest resident memory of this process so far, MiB. Linux's own mark: that of `getrusage` is inherited from the
    process that started this one."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def of_main_case(name, size):
    """A function of `main_case` on `size` markets of five traders."""
    import main_case

    point = main_case.random_markets(size)
    return main_case.chunked(getattr(main_case, name), *point)


def large_market(size):
    """Multipliers of one market of `size` distinct traders."""
    import main_case

    return main_case.chunked(main_case.multipliers, *main_case.random_markets(1, size))


def of_peer(name, size):
    import main_case
    import peers

    arrays, weight = main_case.random_arrays(size)
    case = peers.Case(arrays, weight, arrays[0], arrays[:2])  # nobody asks this case for its answers
    call = getattr(peers, name)
    if name == "optimistix":
        return call(case, min(500, size))
    return call(case, True) if name == "scipy_root" else call(case)


def programme(size):
    """The discretised quadratic programme of two traders, `size` cells each."""
    from sections import quadratic_programme

    return partial(quadratic_programme.on_a_grid, size)


def one_market(size):
    """What a user does first: one market of ten dealers and five funds, solved, priced and certified."""
    import jaxmech as jm

    dealers = jm.Traders(jm.TruncatedNormal(0.0, 0.5, -1.0, 1.0), risk_capacity=2.0, count=10)
    funds = jm.Traders(jm.Uniform(-1.0, 2.0), risk_capacity=1.0, count=5 * size)
    market = jm.Market.of(dealers, funds)

    def call():
        mechanism = jm.solve(market, 0.5)
        return jm.outcomes(mechanism), jm.certify(mechanism)

    return call


CASES = {
    "imports": lambda size: lambda: 0.0,
    "one market": one_market,
    "one market of N traders": large_market,
    "multipliers": partial(of_main_case, "multipliers"),
    "full point": partial(of_main_case, "full_point"),
    "first derivatives": partial(of_main_case, "first_derivatives"),
    "optimistix": partial(of_peer, "optimistix"),
    "find_root": partial(of_peer, "find_root"),
    "scipy.optimize.root": partial(of_peer, "scipy_root"),
    "quadratic programme": programme,
}


def main(case, size):
    began = time.perf_counter()
    import jax

    jax.config.update("jax_enable_x64", True)
    import harness

    imported = time.perf_counter() - began
    memory = most_memory()
    call = CASES[case](int(size))
    first, again = harness.seconds(call), harness.seconds(call)
    found = {"imports": imported, "first": first, "again": again, "imports_mib": memory, "most_mib": most_memory()}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
