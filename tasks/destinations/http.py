"""The shared client: one conversation per account, paced, retried, authorised, and silent about people and secrets."""

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import urlsplit

import httpx
import orjson

from tasks.destinations.faults import exhausted_wait, fault_of
from tasks.destinations.limits import LocalPace, Pace
from tasks.destinations.platform import Account, Platform, Token, secure_address
from tasks.destinations.scrub import scrub, secrets_of
from tasks.errors import ConfigurationError, SegmentationError, TransientError

T = TypeVar("T")
UNAUTHORIZED = 401
EARLY_SECONDS = 60.0  # a token is renewed this long before it ends
TIMEOUT = httpx.Timeout(60.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to keep trying: attempts per request, the growing pause, and failures in a row that stop the push."""

    attempts: int = 6
    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    failures_in_a_row: int = 3
    job_seconds: float = 3_600.0
    longest_asked_seconds: float = 600.0  # a server that asks for more is asked again in another run

    def pause(self, attempt: int, asked_seconds: float | None, chance: float) -> float:
        """Seconds before the next attempt: what the server asked for, else growing, always with jitter above it."""
        if asked_seconds is not None:
            return asked_seconds + chance * min(1.0, asked_seconds * 0.1)
        grown = min(self.longest_seconds, self.first_seconds * 2.0**attempt)
        return grown * (0.5 + chance / 2)


class TokenStore:
    """Access tokens by account, shared by the threads and destinations of a process."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[Token, float]] = {}
        self._lock = threading.Lock()

    def get(self, name: str, make: Callable[[], Token | None]) -> Token | None:
        """The living token of an account, or a new one."""
        with self._lock:
            token, ends = self._tokens.get(name, (None, 0.0))
            if token is None or time.monotonic() >= ends:
                token = make()
                if token is not None:
                    self._tokens[name] = (token, time.monotonic() + max(token.lives_seconds - EARLY_SECONDS, 1.0))
            return token

    def drop(self, name: str, token: Token | None) -> None:
        """Forget a token that was refused, unless another thread has renewed it already."""
        with self._lock:
            if token is not None and self._tokens.get(name, (None,))[0] == token:
                del self._tokens[name]


TOKENS = TokenStore()
for _chatty in ("httpx", "httpcore"):  # below a warning they log whole addresses, with people and tokens in them
    logging.getLogger(_chatty).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, repr=False)
class _Request:
    """What is asked, however often it must be sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    accept: Sequence[int]
    authorized: bool


@dataclass(slots=True, repr=False)
class HttpSession:
    """One account's conversation over HTTPS; safe to use from several threads."""

    platform: Platform
    account: Account
    quota_key: str
    pace: Pace = field(default_factory=LocalPace)
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    tokens: TokenStore = field(default_factory=lambda: TOKENS)
    requests: int = 0
    budget: int | None = None  # requests that the account still allows today
    repeat: bool = True
    _client: httpx.Client | None = None
    _kept: dict[str, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _failures: int = 0
    _broken: SegmentationError | None = None
    _secrets: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        self._secrets = secrets_of(self.account)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
        for value in self._kept.values():
            if hasattr(value, "close"):
                value.close()

    @contextmanager
    def once(self) -> Iterator[None]:
        """Inside, a request whose outcome is unknown is not repeated: what was to be created may exist."""
        self.repeat = False
        try:
            yield
        finally:
            self.repeat = True

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """Make a value once per push and share it between threads."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            return cast(T, self._kept[name])

    def poll(self, ask: Callable[[], T | None], *, what: str, every_seconds: float = 2.0) -> T:
        """Ask until the answer is not None, first at once, then with growing pauses up to ``every_seconds``."""
        waited, pause = 0.0, min(0.1, every_seconds)
        while (answer := ask()) is None:
            if waited >= self.patience.job_seconds:
                raise TransientError(f"{self.platform.title}: {what} is not done after {waited:.0f} s")
            self.sleep(pause)
            waited, pause = waited + pause, min(pause * 2, every_seconds)
        return answer

    def attempt(self, action: Callable[[], T]) -> T:
        """Do something through a vendor's own client that raises our errors, with this account's pace and patience."""
        if self._broken is not None:
            raise self._broken
        for attempt in range(self.patience.attempts):
            self._take_turn()
            try:
                found = action()
            except TransientError as error:
                if not self.repeat or attempt + 1 == self.patience.attempts:
                    raise self._break(error) from error.__cause__
                self.sleep(self.patience.pause(attempt, error.wait_seconds, self.chance()))
            except ConfigurationError as error:
                raise self._break(error) from error.__cause__
            else:
                self._failures = 0
                return found
        raise TransientError(self._say("no attempt was allowed"))

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        data: Mapping[str, str] | None = None,
        files: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Sequence[int] = (),
        authorized: bool = True,
    ) -> httpx.Response:
        """Send one request until it is answered; see ``Session.call``."""
        if self._broken is not None:
            raise self._broken
        own = dict(headers or {})
        if json is not None:
            content = orjson.dumps(json)
            own.setdefault("Content-Type", "application/json")
        body = _given({"content": content, "data": data, "files": files, "params": params})
        return self._persist(_Request(method, path, own, body, accept, authorized))

    def _persist(self, asked: _Request) -> httpx.Response:
        renewed = False
        problem: SegmentationError | None = None
        for attempt in range(self.patience.attempts):
            token = self._token() if asked.authorized else None
            response, problem = self._attempt(asked, token)
            if response is not None and problem is None:
                self._failures = 0
                return response
            status = None if response is None else response.status_code
            if not isinstance(problem, TransientError):
                if status == UNAUTHORIZED and token is not None and not renewed:
                    self.tokens.drop(self.quota_key, token)
                    renewed = True
                    continue
                break
            if (problem.wait_seconds or 0.0) > self.patience.longest_asked_seconds:
                self._broken = problem
                break
            if not self.repeat and status != httpx.codes.TOO_MANY_REQUESTS:
                break
            if attempt + 1 < self.patience.attempts:
                self.sleep(self.patience.pause(attempt, problem.wait_seconds, self.chance()))
        refused = f"{asked.method} {asked.path} was refused after a new token"
        raise self._break(problem or TransientError(self._say(refused)))

    def _attempt(self, asked: _Request, token: Token | None) -> tuple[httpx.Response | None, SegmentationError | None]:
        """One try: the response if there is one, and what is wrong with it if anything is."""
        self._take_turn()
        own = self.platform.headers(self.account, token) if asked.authorized else {}
        url = self._url(asked.path, token, asked.authorized)
        try:
            response = self._open().request(asked.method, url, headers={**own, **asked.headers}, **asked.body)
        except httpx.TransportError as error:
            reason = f"{asked.method} {asked.path} was not answered ({type(error).__name__})"
            return None, TransientError(self._say(reason))
        if response.is_success and (seconds := exhausted_wait(response.headers)):
            self.sleep(seconds)
        return response, self._judge(response, asked.accept)

    def _take_turn(self) -> None:
        """Wait for the account's pace; stop for today when its day is used up."""
        with self._lock:
            if self.budget is not None and self.requests >= self.budget:
                limit = f"{self.platform.limits.per_day:,}"
                self._broken = TransientError(self._say(f"the {limit} requests of the day are used up; go on tomorrow"))
                raise self._broken
            self.requests += 1
        self.pace(self.quota_key, self.platform.limits.per_second)

    def _url(self, path: str, token: Token | None, authorized: bool) -> str:
        base = secure_address(token.base) if token is not None and token.base else self.account.base
        if not path.startswith(("http://", "https://")):
            return base + path
        if authorized and urlsplit(path)[:2] != urlsplit(base)[:2]:
            raise ConfigurationError(
                f"{self.platform.title}: refused to send credentials to {urlsplit(path).hostname}."
            )
        return secure_address(path)

    def _judge(self, response: httpx.Response, accept: Sequence[int]) -> SegmentationError | None:
        """None when the response can be used; a JSON body that cannot be read is an unknown outcome, tried again."""
        special = self.platform.fault(response)
        if isinstance(special, SegmentationError):
            return special
        if response.status_code not in accept and not response.is_success:
            return fault_of(response, self.platform.title, self._secrets)
        kind = response.headers.get("content-type", "").partition(";")[0]
        if response.content and kind.endswith(("/json", "+json")):
            try:
                orjson.loads(response.content)
            except orjson.JSONDecodeError:
                return TransientError(self._say(f"{response.request.url.path} answered what is no JSON"))
        return None

    def _token(self) -> Token | None:
        return self.tokens.get(self.quota_key, lambda: self.platform.token(self, self.account))

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                limit = httpx.Limits(max_connections=max(self.platform.limits.parallel, 2))
                self._client = httpx.Client(
                    timeout=TIMEOUT, limits=limit, follow_redirects=False, trust_env=False, verify=_certificates()
                )
            return self._client

    def _break(self, problem: SegmentationError) -> SegmentationError:
        """Open the circuit: at once for what a person must repair, after several failures in a row for outages."""
        if isinstance(problem, ConfigurationError):
            self._broken = problem
        elif isinstance(problem, TransientError):
            self._failures += 1
            if self._failures >= self.patience.failures_in_a_row:
                self._broken = problem
        return problem

    def _say(self, text: str) -> str:
        return scrub(f"{self.platform.title}: {text}", self._secrets)


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """Certificates are checked always; reading the list of authorities once is enough."""
    return httpx.create_ssl_context(trust_env=False)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
