"""The fee notice: its numbers are those of the schedule, in text, CSV and JSON."""

import csv
import io
import json

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.auctions.fee_notice import fee_csv, fee_text
from jaxmech.cli import main
from jaxmech.testing.random_markets import DEALERS_AND_FUND as MARKET


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("fees") / "market.toml"
    file.write_text(MARKET)
    return file


@pytest.fixture(scope="module")
def rule(path):
    return jm.side_payments(jm.solve(jm.Market.from_toml(path), 0.5))


def test_every_entry_is_the_side_payment_of_that_size_at_that_price(rule):
    sheet = jm.fee_sheet(rule)
    for place, group in enumerate(sheet["groups"]):
        first = (0, 2)[place]
        for size, row in zip(group["sizes"], group["side_payment"], strict=True):
            for price, paid in zip(sheet["prices"], row, strict=True):
                exact = rule.side_payment(jnp.asarray(price), jnp.zeros(3).at[first].set(size))[first]
                assert paid == pytest.approx(float(exact), abs=1e-13)


def test_prices_are_the_middle_and_the_outer_quantiles_of_the_clearing_price(rule):
    import jax

    z = rule.market.endowment.sample(jax.random.key(0), (20_000,))
    low, middle, high = jm.fee_sheet(rule)["prices"]
    price = np.asarray(rule.clearing_price(z))
    assert middle == pytest.approx(price.mean(), abs=4 * price.std() / 20_000**0.5)
    assert np.mean(price < low) == pytest.approx(0.05, abs=0.02)
    assert np.mean(price > high) == pytest.approx(0.05, abs=0.02)


def test_sizes_are_round_symmetric_and_reach_what_is_traded(rule):
    for group in jm.fee_sheet(rule, sizes=5)["groups"]:
        assert len(group["sizes"]) == 11
        assert group["sizes"] == [-size for size in reversed(group["sizes"])]
        mantissa = group["sizes"][6] / 10 ** np.floor(np.log10(group["sizes"][6]))
        assert np.any(np.isclose(mantissa, (1, 2, 2.5, 5)))


def test_csv_and_text_carry_the_same_numbers(rule):
    sheet = jm.fee_sheet(rule)
    rows = list(csv.DictReader(io.StringIO(fee_csv(sheet))))
    assert len(rows) == 2 * 9 * 3
    assert float(rows[0]["side_payment"]) == sheet["groups"][0]["side_payment"][0][0]
    assert f"participation fee {sheet['groups'][1]['participation_fee']:.6g}" in fee_text(sheet)


def test_the_command_prints_and_writes_the_notice(path, tmp_path, capsys):
    assert main(["fees", str(path), "--alpha", "0.5", "--out", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "fees.json").read_text())
    for name in ("fees.csv", "fees.png", "fees.pdf", "kink.png", "kink.pdf"):
        assert (tmp_path / name).stat().st_size > 500
    assert main(["fees", str(path), "--alpha", "0.5"]) == 0
    assert "Fee notice for α = 0.5" in capsys.readouterr().out


def test_bad_arguments_are_named(path, capsys):
    assert main(["fees", str(path), "--alpha", "0.5", "--sizes", "0"]) == 2
    assert "--sizes is 0" in capsys.readouterr().err
    with pytest.raises(jm.MarketError, match="side_payments is Mechanism"):
        jm.fee_sheet(jm.solve(jm.Market.from_toml(path), 0.5))
