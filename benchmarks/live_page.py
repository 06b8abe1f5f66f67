"""How long after a slider moves is the live page drawn anew, and does its memory grow? In a headless Chromium.

    python benchmarks/live_page.py [--quick] [--json PATH]

The Treasury market, four groups; sliders of the goal and of every group are moved one after the other, each once the
last one is drawn, from the event to the first frame after all pictures are. Needs Debian's chromium and
chromium-driver, and the extra `test`. Where the page ends with other numbers than `solve`, exit status 1.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
from harness import Row, main, require
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

import jaxmech as jm
from jaxmech.explorer.state import State

MARKET = Path(__file__).parents[1] / "experiments" / "markets" / "us_treasury_10y.toml"
MOVE = """
const [place, share] = arguments, done = arguments[arguments.length - 1];
const input = document.querySelectorAll("#controls input")[place];
const [low, high] = [Number(input.min), Number(input.max)], began = performance.now();
input.value = low + share * (high - low);
input.dispatchEvent(new Event("input", { bubbles: true }));
const mine = String(sequence), channel = new MessageChannel();
channel.port1.onmessage = () => {
  if (document.body.dataset.drawn === mine && !flying) requestAnimationFrame(() => done(performance.now() - began));
  else channel.port2.postMessage(0);
};
channel.port2.postMessage(0);
"""


def window(folder):
    """A headless browser that reaches this machine alone."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    flags = "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--window-size=1280,1400"
    for flag in (*flags, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"):
        options.add_argument(flag)
    return Chrome(options, ChromeService(shutil.which("chromedriver")))


def rows(updates):
    """The report."""
    market = jm.Market.from_toml(MARKET)
    random, process = np.random.default_rng(0), psutil.Process()
    with tempfile.TemporaryDirectory() as folder, jm.explore(market) as page:
        browser = window(folder)
        browser.get(page.address)
        sliders = browser.execute_script("return document.querySelectorAll('#controls input').length")
        turned = [0, *range(3, sliders)]

        def move(place, share):
            return browser.execute_async_script(MOVE, int(place), float(share))

        for place in turned:
            move(place, 0.5)
        held, times = [process.memory_info().rss], []
        for number in range(updates):
            if number % len(turned) == 0:
                browser.execute_script("state = structuredClone(start)")
            took = move(random.choice(turned), random.uniform(0.3, 0.7))
            if browser.execute_script("return !latest.refusal"):  # a market that cannot be has no pictures
                times.append(took)
            if (number + 1) % (updates // 4) == 0:
                held.append(process.memory_info().rss)
        browser.execute_script("state = structuredClone(start)")
        move(0, 0.6)
        state, revenue = browser.execute_script("return [state, latest.revenue]")
        browser.quit()
        expected = float(jm.outcomes(page.model.mechanism(State(**state))).revenue)
    require(abs(revenue - expected) <= 1e-9 * abs(expected), f"the page says {revenue}, the solver {expected}")
    grown = (held[-1] - held[1]) / 1e6
    return [
        Row(
            "median from event to drawn page",
            float(np.median(times)),
            "ms",
            60,
            note=f"{len(times):,} updates with pictures of {updates:,}",
        ),
        Row("95% of updates", float(np.quantile(times, 0.95)), "ms", 150),
        Row("memory of the server after the first quarter", held[1] / 1e6, "MB"),
        Row("and what it grew by until the last", grown, "MB", 0.02 * held[1] / 1e6),
    ]


if __name__ == "__main__":
    sys.exit(main(__doc__, rows, (2000,), (100,)))
