"""A headless Chromium, where there is one."""

import html
import re
import shutil
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; apt-get install chromium")


def opened(address, tmp_path, *options):
    """The page's document once its scripts have run, and what the browser said of requests."""
    log = tmp_path / "net.json"
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync", f"--log-net-log={log}"]
    flags += ["--disable-features=NetworkTimeServiceQuerying"]
    flags += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # nothing leaves the machine
    flags += [f"--user-data-dir={tmp_path / 'profile'}", *options]
    done = subprocess.run([CHROMIUM, *flags, "--dump-dom", address], capture_output=True, text=True, timeout=120)
    return done.stdout, log.read_text() if log.exists() else ""


def asked_for(log):
    """How many requests to other places a page itself has made: the browser's own have no origin."""
    return len(re.findall(r'"initiator":"(?!not an origin)', log))


def text_of(document, pattern):
    """The text of the first element whose tag matches."""
    found = re.search(rf"<(\w+)[^>]*{pattern}[^>]*>(.*?)</\1>", document, re.S)
    assert found, f"no element with {pattern}"
    return html.unescape(re.sub(r"<[^>]+>", "", found[2]))
