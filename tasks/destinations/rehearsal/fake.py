"""What every stand-in shares: routes, strictness, bad weather, and a server on loopback."""

import random
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode()))


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; ``body`` is bytes, or anything JSON can say, or None for nothing."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


# When everything happened, wherever a vendor tells a time.
SOME_TIME = "2026-03-01T10:00:00+00:00"


class StrangeRequestError(Exception):
    """The request is not what the vendor's pages allow."""


def demand(condition: object, complaint: str) -> None:
    """Refuse the request unless the condition holds."""
    if not condition:
        raise StrangeRequestError(complaint)


@dataclass(slots=True)
class Weather:
    """Faults on demand: each request fails with probability ``rate``, in one of ``kinds``."""

    rate: float = 0.0
    seed: int = 1
    kinds: tuple[str, ...] = ("429", "500", "503", "cut_before", "cut_after", "garbage", "expired")
    happened: int = 0
    _random: random.Random = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - faults must be repeatable, not secret

    def next(self) -> str | None:
        """The fault of the next request, if any."""
        with self._lock:
            if self._random.random() >= self.rate:
                return None
            self.happened += 1
            return self._random.choice(self.kinds)


Handler = Callable[[Any, Request, "re.Match[str]"], Reply]


def route(method: str, pattern: str) -> Callable[[Handler], Handler]:
    """Answer requests of this method whose whole path matches the pattern."""

    def mark(handler: Handler) -> Handler:
        handler.route = (method, re.compile(pattern))  # type: ignore[attr-defined]
        return handler

    return mark


class Fake:
    """A platform's stand-in: subclasses add routes and keep state; ``complaints`` lists what a vendor would refuse."""

    slug: ClassVar[str]
    secret: ClassVar[str] = ""
    expiring: ClassVar[bool] = False  # whether access tokens run out here
    media: ClassVar[str] = "application/json"  # what answers say they are
    routes: ClassVar[list[tuple[str, re.Pattern[str], str]]]

    def __init_subclass__(cls) -> None:
        cls.routes = [
            (*found.route, name) for name in dir(cls) if (found := getattr(cls, name)) and hasattr(found, "route")
        ]

    def __init__(self, weather: Weather | None = None) -> None:
        self.weather = weather or Weather()
        self.complaints: list[str] = []
        self.seen: list[Request] = []
        self.address = ""
        self.lock = threading.RLock()

    def settings(self) -> dict[str, str]:
        """Account options that point at this stand-in."""
        return {"base": self.address}

    def seed(self, people: list[dict[str, Any]]) -> None:
        """Put people there before the push, for platforms that only enrich whom they know."""

    def people(self) -> dict[str, dict[str, Any]]:
        """What the platform holds about whom we pushed: our key → {field: value}; ``lists`` is reserved for lists."""
        raise StrangeRequestError("a stand-in has to say what it holds")

    def opt_out(self, email: str) -> None:
        """Let a person unsubscribe, as they would on the platform."""
        raise StrangeRequestError(f"{email}: nobody can unsubscribe here")

    def authorise(self, request: Request) -> Reply | None:
        """The refusal of a request without the right credentials."""
        raise StrangeRequestError(f"{request.path}: a stand-in has to check credentials")

    def expire(self) -> Reply | None:
        """Let the access token run out; the answer that says so."""
        return None

    def answer(self, request: Request) -> Reply:
        """The answer to one request; complaints are remembered and answered with 400."""
        with self.lock:
            self.seen.append(request)
            try:
                if (refusal := self.authorise(request)) is not None:
                    return refusal
                for method, pattern, name in self.routes:
                    if method == request.method and (match := pattern.fullmatch(request.path)):
                        reply: Reply = getattr(self, name)(request, match)
                        return reply
                demand(condition=False, complaint="no such method and path")
            except (StrangeRequestError, LookupError, TypeError, ValueError, AttributeError) as error:
                complaint = f"{request.method} {request.path}: {type(error).__name__} {error}"
                self.complaints.append(complaint)
            return Reply(400, {"message": complaint, "status": "error", "errors": [{"message": complaint}]})


class _Handler(BaseHTTPRequestHandler):
    fake: ClassVar[Fake]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Say nothing."""

    def _serve(self) -> None:
        fault = self.fake.weather.next()
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the client died while it was speaking
            self._cut()
            return
        parts = urlsplit(self.path)
        request = Request(
            self.command,
            unquote(parts.path),
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            body,
        )
        if fault == "cut_before":
            self._cut()
            return
        reply = _spoiled(self.fake, request, fault)
        if fault == "cut_after":
            self._cut()
            return
        self._say(reply)

    def _say(self, reply: Reply) -> None:
        raw = reply.body if isinstance(reply.body, bytes) else b"" if reply.body is None else orjson.dumps(reply.body)
        self.send_response(reply.status)
        kind = {} if isinstance(reply.body, bytes | None) else {"Content-Type": self.fake.media}
        for name, value in {**kind, **reply.headers, "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def __getattr__(self, name: str) -> Any:
        """Every method is served alike."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)


def _spoiled(fake: Fake, request: Request, fault: str | None) -> Reply:
    match fault:
        case "429":
            return Reply(429, {"message": "too many requests"}, {"Retry-After": "0"})
        case "500" | "503":
            return Reply(int(fault), {"message": "something went wrong"})
        case "garbage":
            fake.answer(request)
            return Reply(200, b"<html>{", {"Content-Type": "application/json"})
        case "nonsense":
            fake.answer(request)
            return Reply(200, {"surprise": [1, None]})
        case "expired":
            with fake.lock:
                expired = fake.expire()  # a request that carries no token, to a storage address, does not notice
                refused = expired if fake.authorise(request) is not None else None
                return refused or Reply(502, {"message": "bad gateway"})
        case _:
            return fake.answer(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, _request: Any, _client: Any) -> None:
        """A client that was killed is part of the play."""


@contextmanager
def serve(fake: Fake) -> Iterator[Fake]:
    """The stand-in on a free port of loopback; ``fake.address`` is its base address."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake}))
    fake.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
