"""TOML tables that users write, and the error that tells them what is wrong with one."""

import tomllib
from pathlib import Path


class MarketError(ValueError):
    """A market that cannot be: says which argument, which traders, the value, and what to do."""


def read_toml(path) -> dict:
    """A TOML file as a dictionary; MarketError says what is missing or where it does not parse."""
    path = Path(path)
    if not path.is_file():
        raise MarketError(f"{path}: no such file; give the path of a market's TOML file")
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MarketError(f"{path}: not valid TOML: {error}") from None


def refuse_other_keys(table, allowed, where, required=frozenset()):
    """MarketError for a misspelt or missing key of a TOML table."""
    for key in table:
        if key not in allowed:
            raise MarketError(f"{where}: unknown key {key!r}; allowed: {', '.join(sorted(allowed))}")
    for key in sorted(required - set(table)):
        raise MarketError(f"{where}: {key!r} is missing")
