"""A folder of compiled code, shared and damaged, changes no answer and stops nothing."""

import os
import random
import subprocess
import sys

SOLVE = """
import jaxmech as jm
market = jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 1.0, 3), jm.Traders(jm.Uniform(-2, 1), 0.7))
mechanism = jm.solve(market, 0.3)
print(float(jm.outcomes(mechanism).revenue).hex(), bool(jm.certify(mechanism).ok))
"""
EVERYTHING = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}


def started(folder):
    environment = os.environ | EVERYTHING | {"JAX_COMPILATION_CACHE_DIR": str(folder), "JAX_ENABLE_X64": "1"}
    command = [sys.executable, "-c", SOLVE]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    printed, complaints = process.communicate()
    assert process.returncode == 0, complaints
    return printed, complaints


def flipped(content, chance):
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def damaged(content, number, chance):
    return [content[: len(content) // 2], b"", b"no code", flipped(content, chance)][number % 4]


def test_two_processes_share_a_folder_and_a_third_survives_its_damage(tmp_path):
    both = [started(tmp_path), started(tmp_path)]
    (first, _), (second, _) = map(ended, both)
    assert first == second
    assert first.endswith("True\n")
    entries, chance = sorted(tmp_path.glob("*-cache")), random.Random(0)
    assert len(entries) > 4
    for number, entry in enumerate(entries):
        entry.write_bytes(damaged(entry.read_bytes(), number, chance))
    third, complaints = ended(started(tmp_path))
    assert third == first
    assert complaints.count("Error reading persistent compilation cache entry") == len(entries)
