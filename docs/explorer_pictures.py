"""Writes the pictures of docs/explorer.md: the report and the live page in a headless Chromium.

    python docs/explorer_pictures.py

Needs Debian's chromium and chromium-driver, and the extras `test` and `plot`.
"""

import io
import shutil
import sys
import tempfile
import time
from pathlib import Path

import jax
from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

import jaxmech as jm
from jaxmech.cli import main as command
from jaxmech.estimation.observations import observations

PICTURES = Path(__file__).with_name("images")
MARKET = PICTURES.parents[1] / "experiments" / "markets" / "us_treasury_10y.toml"
COLOURS = 160
SETTLED = "return document.body.dataset.settled === String(sequence) && !flying"


def browser():
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    return Chrome(options, ChromeService(shutil.which("chromedriver")))


def picture(driver, name, width, height, dark=False):
    """What the window shows, of that size."""
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    time.sleep(1)
    seen = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    seen.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        PICTURES / f"{name}.png", optimize=True
    )


def main():
    jax.config.update("jax_enable_x64", True)
    driver = browser()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        over = "--over", "all.risk_capacity.factor=0.5,2", "--over", "dealer.count=10,80"
        if code := command(["report", str(MARKET), "--alpha", "0.5", *over, "--out", str(page)]):
            return code
        driver.get(page.as_uri())
        picture(driver, "report_desktop", 1280, 1300)
        driver.get(f"{page.as_uri()}#alpha=0.9&numbers=0.7,60")
        picture(driver, "report_dark", 1280, 1240, dark=True)
        driver.get(page.as_uri())
        picture(driver, "report_phone", 500, 1300)
    seen = observations(MARKET.with_suffix(".csv"), "endowment", "group").by_group()
    with jm.explore(jm.Market.from_toml(MARKET), observations={name: one for name, (one, _) in seen.items()}) as live:
        driver.get(live.address)
        while not driver.execute_script(SETTLED):
            time.sleep(0.2)
        driver.execute_script("controls.querySelectorAll('details')[1].open = true")
        picture(driver, "explore_desktop", 1280, 1240)
    driver.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
