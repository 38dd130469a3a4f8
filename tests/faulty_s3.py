"""A proxy before an S3 server that fails as networks and stores do: errors, stalls, bodies that break off, and answers
that are lost although the server did what it was asked."""

import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import SplitResult, urlsplit

FAULTS = ("error_500", "slow_down_503", "stall", "short_body", "reset", "applied_500", "applied_reset")
"""The last two reach the server, which does what it is asked; the client does not learn of it. Beside these there is
`conflict_409`, of two writers at the same moment, which is no fault of the store."""


CONDITION = "If-None-Match"


@dataclass
class Weather:
    """Which share of requests goes wrong, and how; the same seed gives the same weather for the same requests."""

    share: float = 0.0
    kinds: tuple[str, ...] = FAULTS
    only: str = ""
    """Pattern that `METHOD /path` must fit for a request to be in the weather at all."""
    at_most: float = float("inf")
    """Faults after which the weather clears by itself."""
    stall_s: float = 0.5
    conditional: bool = True
    """Whether the server knows conditional writes; one that does not makes a file that is there anew."""
    seed: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """Faults so far, by kind; `ok` for the rest."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def faults(self) -> int:
        """How often something went wrong so far."""
        return self.seen.total() - self.seen["ok"]

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self.share = 0.0

    def next(self, method: str, path: str) -> str:
        """Draw what happens to a request. Only an answer with a body can break off."""
        with self._lock:
            within = re.search(self.only, f"{method} {path}") is not None and self.faults < self.at_most
            kind = self._random.choice(self.kinds) if within and self._random.random() < self.share else "ok"
            kind = "error_500" if kind == "short_body" and method != "GET" else kind
            self.seen[kind] += 1
            return kind


class Proxy(BaseHTTPRequestHandler):
    """Passes requests on, through the weather. `target` and `weather` are given by a subclass."""

    protocol_version = "HTTP/1.1"
    target: SplitResult
    weather: Weather

    def forward(self) -> None:
        """Answer one request of any method."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.weather.next(self.command, self.path)
        if kind.startswith("applied"):
            self.ask(body)
        if kind.endswith("reset"):
            self.hang_up()
        elif kind.endswith("500"):
            self.refuse(500, "InternalError")
        elif kind == "slow_down_503":
            self.refuse(503, "SlowDown")
        elif kind == "conflict_409":
            self.refuse(409, "ConditionalRequestConflict")
        else:
            time.sleep(self.weather.stall_s if kind == "stall" else 0)
            self.relay(body, broken=kind == "short_body")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

    def ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return the server's own status, headers and body."""
        connection = HTTPConnection(str(self.target.hostname), self.target.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if self.weather.conditional or name != CONDITION}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), data

    def relay(self, body: bytes, broken: bool) -> None:
        """Give the server's own answer, or half of its body."""
        status, headers, data = self.ask(body)
        length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if broken and len(data) > 1:
            self.wfile.write(data[: len(data) // 2])
            self.hang_up()
        else:
            self.wfile.write(data)

    def refuse(self, status: int, code: str) -> None:
        """Answer with an error, as S3 words it."""
        data = f"<Error><Code>{code}</Code><Message>as asked</Message></Error>".encode()
        data = b"" if self.command == "HEAD" else data
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def hang_up(self) -> None:
        """End the connection as it is: `close` alone would wait for this handler's own streams."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""
        del format, args


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a client that has had enough hangs up too."""
        del request, client_address


@contextmanager
def faulty_s3(endpoint: str, weather: Weather) -> Iterator[str]:
    """Serve the store at `endpoint` through the weather; yields the proxy's own endpoint."""
    handler = type("Handler", (Proxy,), {"target": urlsplit(endpoint), "weather": weather})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
