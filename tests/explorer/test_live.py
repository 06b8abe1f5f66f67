"""The live page: what it shows is what `solve` says, the newest event wins, and it answers only this machine."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import urlencode
from xml.etree import ElementTree

import numpy as np
import pytest
from explorer.browser import Window, needs_driver

import jaxmech as jm
from jaxmech.explorer.files import market_toml
from jaxmech.explorer.live import explore
from jaxmech.explorer.state import State
from jaxmech.market.parameters import market_at

pytestmark = pytest.mark.slow  # everything a page may ask for is compiled first
MARKET = jm.Market.of(
    jm.Traders(jm.Uniform(-1.0, 1.2), 0.5, 4, "<b>dealer"), jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 3, "fund")
)
SETTLED = "return document.body.dataset.settled === String(sequence) && !flying"
# Moves a slider, by its place, to a share of its range, as a hand does.
MOVE = """
const input = document.querySelectorAll("#controls input")[arguments[0]];
const [low, high] = [Number(input.min), Number(input.max)];
input.value = low + arguments[1] * (high - low);
input.dispatchEvent(new Event("input", { bubbles: true }));
"""


@pytest.fixture(scope="module")
def page():
    with explore(MARKET) as found:
        yield found


@pytest.fixture
def window(page, tmp_path):
    made = Window(tmp_path / "profile")
    made.open(page.address)
    made.until(SETTLED)
    yield made
    made.close()


def got(address, **headers):
    """(status, text) of a request."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def shown(window):
    """The state a page is in, and the revenue and efficiency it shows."""
    state, status = window.run("return [state, document.getElementById('status').textContent]")
    words = status.replace("−", "-").replace(",", "").split()
    return State(state["goal"], state["aim"], state["values"]), float(words[2]), float(words[4])


def held(window):
    """What a page shows is what `solve` says, to the digits shown."""
    state, revenue, efficiency = shown(window)
    assert state.goal == "alpha"
    achieved = jm.outcomes(jm.solve(market_at(MARKET, dict(state.values)), state.aim))
    assert revenue == pytest.approx(float(achieved.revenue), rel=1e-7, abs=1e-9)
    assert efficiency == pytest.approx(float(achieved.efficiency), rel=1e-7)
    return state


def test_only_this_machine_is_answered(page):
    assert got(page.address)[0] == 200
    assert got(page.address, Host="example.org")[0] == 403
    assert page.address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    "query",
    [
        "?<script>alert(1)</script>",
        "?aim=__import__('os')",
        "?aim=0.5&fund.count=1e9",
        "answer?sequence=x&link=",
        "answer?link=",
        "answer?sequence=1&link=" + "a" * 30_000,
        "market.toml?link=aim%3Dnan",
        "../../etc/passwd",
        "fees.exe",
    ],
)
def test_hostile_requests_are_refused_in_plain_text(page, query):
    status, text = got(page.address + query)
    assert status in (400, 414) and "Traceback" not in text


def test_files_are_those_of_the_state(page, tmp_path):
    state = State("alpha", 0.7, {"fund.risk_capacity": 0.3, "fund.outside_gamma": 0.2, "minimum_revenue": 0.01})
    query = urlencode({"link": state.link()})
    (tmp_path / "market.toml").write_text(got(f"{page.address}market.toml?{query}")[1])
    read = jm.Market.from_toml(tmp_path / "market.toml")
    assert read.names == MARKET.names
    same = jm.outcomes(jm.solve(page.model.market_at(state), 0.7)).revenue
    assert float(jm.outcomes(jm.solve(read, 0.7)).revenue) == pytest.approx(float(same), rel=1e-13)
    sheet = json.loads(got(f"{page.address}fees.json?{query}")[1])
    assert [group["name"] for group in sheet["groups"]] == list(MARKET.names)
    assert got(f"{page.address}fees.csv?{query}")[1].startswith("group,size,price,side_payment\n")


@pytest.mark.parametrize(
    "law",
    [
        jm.Histogram([-1.0, 0.0, 1.0], [0.4, 0.6]),
        jm.Mixture((jm.Uniform(-1.0, 0.5), jm.Beta(2.0, 3.0, 0.0, 1.0)), [0.4, 0.6]),
        jm.TruncatedNormal(0.1, 0.7, -1.0, 1.3),
    ],
    ids=["histogram", "mixture", "normal"],
)
def test_a_market_file_is_read_back_to_the_last_digit(law, tmp_path):
    outside = jm.OutsideMarket(0.1, 3.0)
    market = jm.Market.of(
        jm.Traders(law, 1 / 3, 4, "a", welfare_weight=0.1), jm.Traders(jm.Uniform(-1, 1), 1.0, 2, "b", outside=outside)
    ).earning(-0.1)
    (tmp_path / "market.toml").write_text(market_toml(market))
    assert market_toml(jm.Market.from_toml(tmp_path / "market.toml")) == market_toml(market)
    assert "Density" not in market_toml(market)


@needs_driver
def test_every_slider_moves_what_is_shown(page, window):
    sliders = window.run("return document.querySelectorAll('#controls input').length")
    assert sliders == 3 + len(page.model.knobs)
    for place in range(3, sliders):
        window.run("state = structuredClone(start)")
        window.run(MOVE, place, 0.55)
        window.until(SETTLED)
        state = window.run("return state")
        assert len(state["values"]) == 1
        if window.run("return !latest.refusal"):
            held(window)


@needs_driver
def test_of_a_burst_of_events_the_newest_wins(window):
    random = np.random.default_rng(0)
    for place, share in zip(random.choice([0, 3, 4], 200), random.uniform(0.1, 0.9, 200), strict=True):
        window.run(MOVE, int(place), float(share))
    window.run(MOVE, 0, 0.35)
    window.until(SETTLED)
    assert held(window).aim == pytest.approx(0.35)
    assert window.run("return !document.getElementById('figures').classList.contains('waiting')")


@needs_driver
def test_two_sessions_at_once_keep_apart_and_links_restore_them(page, window, tmp_path):
    other = Window(tmp_path / "other")
    other.open(page.address)
    other.until(SETTLED)
    for one, share in ((window, 0.2), (other, 0.8)):
        one.run(MOVE, 0, share)
    for one, share in ((window, 0.2), (other, 0.8)):
        one.until(SETTLED)
        assert held(one).aim == pytest.approx(share)
    link = other.run("return location.href")
    other.close()
    window.open(link)
    window.until(SETTLED)
    assert held(window).aim == pytest.approx(0.8)


@needs_driver
def test_undo_reset_and_pins(window):
    for share in (0.3, 0.6):
        window.run(MOVE, 0, share)
        window.until(SETTLED)
        window.run("pin()")
    cells = window.run(
        "return [...pinned.querySelectorAll('tr')].map((row) => [...row.children].map((c) => c.textContent))"
    )
    assert cells[0] == ["money", "pinned 1", "pinned 2", "difference"] and cells[3][0] == "<b>dealer pays"
    before, after, change = (float(text.replace("−", "-")) for text in cells[1][1:])
    assert change == pytest.approx(after - before, abs=1e-5) and change > 0
    window.run("undo()")
    window.until(SETTLED)
    assert held(window).aim == pytest.approx(0.3)
    window.run("[...document.querySelectorAll('button')].find((one) => one.textContent === 'Reset').click()")
    window.until(SETTLED)
    assert held(window) == State()


@needs_driver
def test_pictures_are_taken_away_as_they_are_seen(window):
    text = window.run("return standing(document.querySelector('figure svg'))")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and "var(" not in "".join(
        part.get("style", "") for part in root.iter()
    )
    assert window.run_later("pixels(standing(document.querySelector('figure svg')))").startswith(
        "data:image/png;base64,"
    )


@needs_driver
def test_what_cannot_be_is_said_where_the_pictures_were(page, window):
    window.open(page.address + "?" + State("revenue", 1e3).link())
    window.until("return latest !== null && latest.refusal && !flying")
    status, light = window.until(
        "const s = document.getElementById('status'); return s.className && [s.textContent, s.className]"
    )
    assert status.startswith("Infeasible: the largest revenue of any mechanism") and light == "bad"
    assert status in window.run("return document.querySelector('figure').textContent")
    assert window.run("return document.getElementById('figures').classList.contains('waiting')")


@needs_driver
def test_a_server_that_is_gone_is_told(tmp_path, page):
    window = Window(tmp_path / "profile")
    with explore(MARKET) as gone:
        window.open(gone.address)
        window.until(SETTLED)
    window.run(MOVE, 0, 0.9)
    window.until("return document.getElementById('status').textContent.startsWith('The server does not answer')")
    window.close()


def test_the_command_serves_until_it_is_interrupted(tmp_path):
    (tmp_path / "market.toml").write_text(market_toml(MARKET))
    command = [sys.executable, "-m", "jaxmech.cli", "explore", str(tmp_path / "market.toml"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().strip()
        assert got(f"{address}answer?sequence=3")[1].count('"certified": true') == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_a_port_that_is_taken_is_told_and_a_notebook_shows_the_page(page):
    port = int(page.address.rstrip("/").rpartition(":")[2])
    with pytest.raises(jm.MarketError, match=f"port {port}: .*; give another"):
        explore(MARKET, port)
    assert f'<iframe src="{page.address}"' in page._repr_html_()
