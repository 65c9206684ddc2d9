"""Talking to a source over HTTPS: paced, retried, authorised, and silent about people and secrets."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from tasks.errors import ConfigurationError, RejectedError, SegmentationError, TransientError

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_UNAUTHORIZED, _TOO_MANY = 401, 429
_LONGEST_ASKED_SECONDS = 600.0


def secure(address: str) -> str:
    """The address when it is https, or http on this machine. ConfigurationError otherwise."""
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return address.rstrip("/")
    raise ConfigurationError(
        f"{parts.scheme}://{parts.hostname}: plain http is only allowed on this machine. Use https."
    )


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to keep trying: attempts per request and the growing pause between them."""

    attempts: int = 5
    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def wait(self, attempt: int, asked_seconds: float | None) -> None:
        """Pause before the next attempt: what the server asked for, else growing, with jitter."""
        grown = min(self.longest_seconds, self.first_seconds * 2.0**attempt)
        self.sleep(asked_seconds if asked_seconds is not None else grown * (0.5 + self.chance() / 2))


@dataclass(slots=True, repr=False)
class Wire:
    """One source's conversation. ``authorize`` gives the headers of a request; it is asked anew after a 401.

    ``fault`` looks into an answer for a problem that its status does not tell (a throttled GraphQL query).
    """

    title: str
    base: str
    authorize: Callable[["Wire"], Mapping[str, str]]
    per_second: float = 5.0
    patience: Patience = field(default_factory=Patience)
    fault: Callable[[httpx.Response], SegmentationError | None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    requests: int = 0
    _headers: Mapping[str, str] | None = None
    _next: float = 0.0
    _client: httpx.Client | None = None

    def __post_init__(self) -> None:
        self.base = secure(self.base)

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> httpx.Response:
        """GET below the base address."""
        return self.call("GET", path, params=params)

    def call(self, method: str, path: str, *, authorized: bool = True, **send: Any) -> httpx.Response:
        """Send one request until it is answered with success.

        Raises TransientError (waiting helps), ConfigurationError (401 after a new token, 403, 404: a person must act)
        or RejectedError (any other refusal). Texts name the path, never the query, and no value of the body.
        """
        renewed = False
        problem: SegmentationError = TransientError(f"{self.title}: {path} was not answered.")
        for attempt in range(self.patience.attempts):
            try:
                response = self._once(method, path, authorized=authorized, **send)
            except httpx.TransportError as error:
                problem = TransientError(f"{self.title}: {path} was not answered ({type(error).__name__}).")
            else:
                found = self._problem(path, response)
                if found is None:
                    return response
                problem = found
                if response.status_code == _UNAUTHORIZED and authorized and not renewed:
                    self._headers, renewed = None, True
                    continue
            if not isinstance(problem, TransientError) or (problem.wait_seconds or 0) > _LONGEST_ASKED_SECONDS:
                break
            if attempt + 1 < self.patience.attempts:
                self.patience.wait(attempt, problem.wait_seconds)
        raise problem

    def lines(self, address: str) -> Iterator[str]:
        """The lines of a file at a full address, without credentials and without holding it whole."""
        try:
            with self._open().stream("GET", secure(address)) as response:
                if not response.is_success:
                    raise TransientError(f"{self.title}: the file answered {response.status_code}.")
                yield from response.iter_lines()
        except httpx.TransportError as error:
            raise TransientError(f"{self.title}: the file broke off ({type(error).__name__}).") from error

    def _once(self, method: str, path: str, *, authorized: bool, **send: Any) -> httpx.Response:
        own = self._authorization() if authorized else {}
        self._pace()
        self.requests += 1
        return self._open().request(method, self._url(path, authorized=authorized), headers=dict(own), **send)

    def _url(self, path: str, *, authorized: bool) -> str:
        """Full addresses (a next page, a file) are followed, but credentials go to the source's own host only."""
        if not path.startswith(("http://", "https://")):
            return self.base + path
        if authorized and urlsplit(path)[:2] != urlsplit(self.base)[:2]:
            raise ConfigurationError(f"{self.title}: refused to send credentials to {urlsplit(path).hostname}.")
        return secure(path)

    def _authorization(self) -> Mapping[str, str]:
        if self._headers is None:
            self._headers = self.authorize(self)
        return self._headers

    def _pace(self) -> None:
        now = self.clock()
        if now < self._next:
            self.patience.sleep(self._next - now)
        self._next = max(now, self._next) + 1.0 / self.per_second

    def _open(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=False)
        return self._client

    def _problem(self, path: str, response: httpx.Response) -> SegmentationError | None:
        if response.is_success and _broken_json(response):
            return TransientError(f"{self.title}: {path.split('?', 1)[0]} answered what is no JSON.")
        special = self.fault(response)
        return special if special is not None or response.is_success else self._refusal(path, response)

    def _refusal(self, path: str, response: httpx.Response) -> SegmentationError:
        where, status = path.split("?", 1)[0], response.status_code
        if where.startswith("http"):
            where = urlsplit(where).path
        text = f"{self.title}: {where} answered {status}"
        if status == _TOO_MANY or status >= 500 or status == 408:  # noqa: PLR2004 - HTTP status codes
            return TransientError(f"{text}.", wait_seconds=asked_wait(response))
        if status in (_UNAUTHORIZED, 403):
            return ConfigurationError(f"{text}: the key is wrong, has ended, or may not read this. Look at `secret`.")
        if status == 404:  # noqa: PLR2004 - HTTP status code
            return ConfigurationError(f"{text}: there is nothing there. Look at `options`.")
        return RejectedError(f"{text}: the request was refused.")


def _broken_json(response: httpx.Response) -> bool:
    if not response.headers.get("content-type", "").startswith("application/json"):
        return False
    try:
        response.json()
    except ValueError:
        return True
    return False


def asked_wait(response: httpx.Response) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or a date."""
    told = response.headers.get("retry-after", "").strip()
    if not told:
        return None
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(told)
    except ValueError:
        return None
    return max(0.0, until.timestamp() - time.time())
