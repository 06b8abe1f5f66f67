"""A headless Chromium, where there is one."""

import html
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request

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


DRIVER = shutil.which("chromedriver")
needs_driver = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="no chromium with its driver here; apt-get install chromium-driver"
)


class Window:
    """A window of a headless Chromium, driven by the W3C's protocol, which is JSON over HTTP."""

    def __init__(self, folder, size=(1280, 1400)):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._driver = subprocess.Popen(
            [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._at = f"http://127.0.0.1:{port}/session"
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
        flags += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--window-size={size[0]},{size[1]}"]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"binary": CHROMIUM, "args": flags}}
        for _ in range(100):
            try:
                made = self._post("", {"capabilities": {"alwaysMatch": wanted}})
                break
            except OSError:
                time.sleep(0.1)
        self._at += f"/{made['sessionId']}"

    def open(self, address):
        self._post("/url", {"url": address})

    def run(self, script, *arguments):
        """What a script returns; names of the page are its own."""
        return self._post("/execute/sync", {"script": script, "args": list(arguments)})

    def run_later(self, promise):
        """What a promise of the page comes to."""
        script = (
            f"const done = arguments[arguments.length - 1]; ({promise}).then(done, (error) => done(String(error)));"
        )
        return self._post("/execute/async", {"script": script, "args": []})

    def until(self, script, seconds=30):
        """Waits for what a script returns to be true, and returns it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.run(script):
                return found
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} seconds: {script}")

    def close(self):
        self._asked("DELETE", "")
        self._driver.terminate()
        self._driver.wait(10)

    def _post(self, path, body):
        return self._asked("POST", path, json.dumps(body).encode())

    def _asked(self, method, path, body=None):
        request = urllib.request.Request(self._at + path, body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)["value"]
