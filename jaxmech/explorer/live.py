"""A page on this machine with a knob for every number of a market.

By the standard library's server and the report's own pictures: nothing has to be installed for it. It listens on the
loopback interface alone and answers only requests that name it, so that no page from elsewhere can ask it anything;
what it is asked is checked against the knobs and never evaluated. It keeps nothing of a page but the market itself.
"""

import json
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from jaxmech.explorer.files import fee_file, market_toml
from jaxmech.explorer.forms import FORMS, market_in_forms
from jaxmech.explorer.model import PARTS, Model
from jaxmech.explorer.observed import observed
from jaxmech.explorer.report import framed
from jaxmech.explorer.state import State, forms_of, state_of
from jaxmech.inputs import MarketError, whole_number
from jaxmech.market.market import Market
from jaxmech.plain import json_text

_METHOD = (
    "Every number is one of jaxmech's own functions, asked anew for each change: solve, outcomes, certify, "
    "side_payments, frontier, sensitivity. It is grey until its certificate is in. Money and costs share one unit."
)
_WAITING = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">'
    "<title>Compiling</title></head><body><p>Compiling, a minute or so the first time. "
    "This page shows itself when it is done.</p></body></html>"
)
_WORDS = {"kind": "live", "connect": "'self'", "kept": "nothing leaves this machine"}
_LONGEST = 20_000  # characters of a request
_MOST_MODELS, _MOST_COMPILED = 8, 2  # kept, each of other laws or markets outside; and at the same time


def explore(market: Market, port: int = 0, observations: Mapping[str, Any] | None = None) -> "Explorer":
    """A page on this machine on which every number of a market can be turned. In a notebook it shows itself.

    Compiles first, which takes a minute or two for a new kind of market; then an answer takes milliseconds.

    Args:
      market: a Market, no batch, of at most 8 groups.
      port: where it listens; 0 for a free one.
      observations: of endowments, units of the asset, by group, the newest last: shown beside the densities.

    Returns:
      Explorer, with `.address`, and `.close()` for when it is done; also a context manager.

    Raises:
      MarketError: a market that does not fit on a page, a port that is none or is taken, or observations that are of no
        group or no numbers.
    """
    return Explorer(market, port, observations)


class Explorer:
    """A market's page while it is served. Made by `explore`."""

    def __init__(self, market: Market, port: int = 0, observations: Mapping[str, Any] | None = None):
        if whole_number("port", port) > 65535:
            raise MarketError(f"port is {port}; give a whole number from 0, for a free one, to 65535")
        self.model, self.lock = Model(market), Lock()
        self.observed = observed(market, observations)
        # By forms; None: being compiled; a text: why there is none.
        self._models: dict[tuple, Model | str | None] = {(): self.model}
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        except OSError as error:
            raise MarketError(f"port {port}: {error.strerror}; give another, or 0 for a free one") from None
        self._server.daemon_threads = True
        self.model.answer(State())  # everything compiled before anybody waits for it
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def wait(self) -> None:
        """Until it is closed, or interrupted."""
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _repr_html_(self):
        return f'<iframe src="{escape(self.address)}" style="width: 100%; height: 50rem; border: 0"></iframe>'

    def prepared(self, link: str) -> Model | None:
        """The model of the laws and markets outside that a link asks for; None while it is compiled in the background.

        Raises:
          MarketError: forms that there are none of, or that this market cannot have.
        """
        return self._prepared(forms_of(link, self.model.given.names))

    def _prepared(self, forms):
        key = tuple(forms.items())
        if key not in self._models:
            for old in [one for one in self._models if one][: max(0, len(self._models) - _MOST_MODELS + 1)]:
                del self._models[old]
            if list(self._models.values()).count(None) >= _MOST_COMPILED:
                raise MarketError(f"{_MOST_COMPILED} other kinds of this market are being compiled; ask again later")
            self._models[key] = None
            Thread(target=self._prepare, args=(key,), daemon=True).start()
        found = self._models[key]
        if isinstance(found, str):
            raise MarketError(found)
        return found

    def _prepare(self, key):
        try:
            made = Model(market_in_forms(self.model.given, dict(key)))
            made.answer(State())
        except Exception as error:  # whatever it is, a page that waits for it must be told
            made = f"this cannot be: {error}"
        self._models[key] = made

    def _priced(self):
        """Whose outside option is a market already."""
        given = self.model.given
        return (False,) * given.groups if given.outside is None else given.outside.priced

    def _asked(self, link):
        """(Model, State) of a link; MarketError while its programs are not there."""
        forms = forms_of(link, self.model.given.names)
        model = self._prepared(forms)
        if model is None:
            raise MarketError("the programs for this are being compiled; ask again")
        return model, state_of(link, model.knobs, forms)

    def page(self, link: str) -> str:
        """The page as it starts with a link."""
        if self.prepared(link) is None:
            return _WAITING
        model, state = self._asked(link)
        market, names = model.given, ("name", "group", "unit", "low", "high", "value", "whole", "of_law")
        data = {
            "names": market.names,
            "fixed": "",
            "start": state,
            "knobs": [{name: getattr(knob, name) for name in names} for knob in model.knobs.values()],
            "forms": FORMS,
            "priced": [name for name, priced in zip(market.names, self._priced(), strict=True) if priced],
            "observed": self.observed,
        }
        return framed("live.js", f"Explore {', '.join(market.names)}", market, _METHOD, {}, data, _WORDS)

    def answer(self, sequence: str, parts: str, link: str) -> str:
        """The answer to a link as JSON, with the number of the question."""
        wanted = [name for name in parts.split(",") if name in PARTS]
        model, state = self._asked(link)
        with self.lock:  # one worker; a page asks one question at a time, its newest
            found = model.answer(state, wanted)
        # All of it plain already: to write it in one line takes a tenth of the time of `json_text`.
        return json.dumps(found | {"sequence": whole_number("sequence", int(sequence))}, allow_nan=False)

    def file(self, name: str, link: str) -> str:
        """A file to take away: market.toml, fees.csv or fees.json."""
        model, state = self._asked(link)
        with self.lock:
            if name == "market.toml":
                return market_toml(model.market_at(state))
            return fee_file(model, state, name.rpartition(".")[2])


def _handler(explorer):
    """The class of what answers a request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            host = explorer.address.removeprefix("http://").rstrip("/")
            if self.headers.get("Host") not in (host, host.replace("127.0.0.1", "localhost")):
                return self.reply("text/plain", "this page is for this machine", HTTPStatus.FORBIDDEN)
            try:
                self.reply(*_answered(explorer, self.path))
            except (MarketError, KeyError, ValueError) as error:
                self.reply("text/plain", f"{error}", HTTPStatus.BAD_REQUEST)

        def reply(self, kind, text, status=HTTPStatus.OK):
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def _answered(explorer, path):
    """(kind, text) of what a path asks for; MarketError, KeyError or ValueError for what there is not."""
    if len(path) > _LONGEST:
        raise MarketError(f"the request has {len(path)} characters; at most {_LONGEST}")
    asked = urlsplit(path)
    if asked.path == "/":
        return "text/html", explorer.page(asked.query)
    told = {name: values[-1] for name, values in parse_qs(asked.query, max_num_fields=3).items()}
    if asked.path == "/answer":
        return "application/json", explorer.answer(told["sequence"], told.get("parts", ""), told.get("link", ""))
    if asked.path == "/ready":
        return "application/json", json_text({"ready": explorer.prepared(told.get("link", "")) is not None})
    kinds = {"/market.toml": "application/toml", "/fees.csv": "text/csv", "/fees.json": "application/json"}
    return kinds[asked.path], explorer.file(asked.path[1:], told.get("link", ""))
