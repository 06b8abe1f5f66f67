"""A folder of compiled code, shared and damaged, changes no answer and stops nothing."""

import os
import random
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import jaxmech as jm
from jaxmech.compile_cache import cache_environment
from jaxmech.testing.random_markets import DEALERS_AND_FUND as MARKET

SOLVE = """
import jaxmech as jm
market = jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 1.0, 3), jm.Traders(jm.Uniform(-2, 1), 0.7))
mechanism = jm.solve(market, 0.3)
print(float(jm.side_payments(mechanism).participation_fee[0]).hex())
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


@pytest.mark.slow
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


SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
ADD_ONE = """
import jax
from jaxmech.compile_cache import command_cache
with command_cache():
    print(jax.jit(lambda x: x + 1)(1.0), jax.config.jax_compilation_cache_dir)
"""


@pytest.fixture
def nothing_set(monkeypatch, tmp_path):
    """No cache is set, as for a user who knows of none; the settings come back afterwards."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("JAXMECH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_a_folder_is_made_for_this_processor_and_jax_and_given_to_jax(nothing_set, tmp_path):
    folder = jm.compile_cache(tmp_path / "deep" / "compiled")
    assert folder.is_dir() and folder.parent == tmp_path / "deep" / "compiled"
    assert folder.name.startswith(f"jax-{jax.__version__}-")
    assert [getattr(jax.config, name) for name in SETTINGS] == [str(folder), 0.0, -1]


@pytest.mark.parametrize(("told", "place"), [(None, "user/jaxmech"), ("mine", "mine")])
def test_the_environment_says_where(nothing_set, tmp_path, monkeypatch, told, place):
    if told:
        monkeypatch.setenv("JAXMECH_CACHE", str(tmp_path / told))
    assert jm.compile_cache().parent == tmp_path / place


def test_a_relative_cache_home_is_ignored(nothing_set, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert jm.compile_cache().parent == tmp_path / "home" / ".cache" / "jaxmech"


@pytest.mark.parametrize("told", ["", "off", "OFF"])
def test_the_environment_turns_it_off(nothing_set, tmp_path, monkeypatch, told):
    monkeypatch.setenv("JAXMECH_CACHE", told)
    assert jm.compile_cache() is None
    assert jax.config.jax_compilation_cache_dir is None
    assert not list(tmp_path.iterdir())


def test_a_cache_that_is_set_stays(nothing_set, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "theirs"))
    before = [getattr(jax.config, name) for name in SETTINGS]
    assert jm.compile_cache(tmp_path / "mine") == tmp_path / "theirs"
    assert [getattr(jax.config, name) for name in SETTINGS] == before
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_none(nothing_set, tmp_path):
    (tmp_path / "file").write_text("")
    assert jm.compile_cache(tmp_path / "file" / "compiled") is None
    assert jax.config.jax_compilation_cache_dir is None


def test_a_folder_that_cannot_be_written_is_none(nothing_set, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert jm.compile_cache(tmp_path) is None


def test_a_new_process_can_have_the_cache_of_this_one(nothing_set, tmp_path):
    assert cache_environment() == {}
    folder = jm.compile_cache(tmp_path)
    assert cache_environment() == {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def finished(told, *command):
    """(printed, complaints) of a process of a user who has set JAXMECH_CACHE and nothing of JAX."""
    environment = {name: value for name, value in os.environ.items() if "CACHE" not in name}
    command, environment = [sys.executable, *command], environment | {"JAXMECH_CACHE": str(told)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[: len(content) // 2]])
def test_a_command_replaces_a_damaged_entry_in_silence(tmp_path, damage):
    printed, complaints = finished(tmp_path, "-c", ADD_ONE)
    assert (printed.split()[0], complaints) == ("2.0", "")
    entry = next(Path(printed.split()[1]).glob("jit__lambda*-cache"))
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert finished(tmp_path, "-c", ADD_ONE) == (printed, "")
    assert len(entry.read_bytes()) > len(whole) // 2  # not bit for bit: it holds the time that compiling took
    entry_again = entry.read_bytes()
    assert finished(tmp_path, "-c", ADD_ONE) == (printed, "")
    assert entry.read_bytes() == entry_again


@pytest.mark.slow
def test_the_command_line_works_with_a_cache_without_one_and_where_there_can_be_none(tmp_path):
    (tmp_path / "market.toml").write_text(MARKET)
    (tmp_path / "file").write_text("")
    solve = ["-m", "jaxmech.cli", "solve", str(tmp_path / "market.toml"), "--alpha", "0.5"]
    kept, complaints = finished(tmp_path / "kept", *solve)
    assert complaints == ""
    entries = len(list((tmp_path / "kept").glob("*/*-cache")))
    assert entries > 4
    assert finished(tmp_path / "file" / "none", *solve) == (kept, "")
    assert finished(tmp_path / "kept", *solve) == (kept, "")
    assert len(list((tmp_path / "kept").glob("*/*-cache"))) == entries
    assert finished(tmp_path / "other", *solve, "--no-cache") == (kept, "")
    assert not (tmp_path / "other").exists()
