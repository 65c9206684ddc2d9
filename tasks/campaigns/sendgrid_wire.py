"""The one door to SendGrid: requests that are on the list below, and no other, through the official library.

Nothing on the list schedules, sends, un-suppresses or deletes; the list is asked at the last moment, inside the
library's own transport. https://www.twilio.com/docs/sendgrid/api-reference
"""

import json
import logging
import math
import re
import time
import urllib.error
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from pydantic import SecretStr
from python_http_client import Client
from python_http_client.exceptions import HTTPError, handle_error
from sendgrid import SendGridAPIClient

from tasks.campaigns.settings import SendGridSettings
from tasks.errors import ConfigurationError, RejectedError, TransientError

# The library writes authorization headers and contacts to its debug log.
logging.getLogger("python_http_client").setLevel(logging.CRITICAL)

_ID = r"[A-Za-z0-9_-]+"
ALLOWED = tuple(
    (method, re.compile(f"/v3/{path}"))
    for method, path in (
        ("GET", "marketing/field_definitions"),
        ("POST", "marketing/field_definitions"),
        ("GET", "marketing/lists"),
        ("POST", "marketing/lists"),
        ("DELETE", f"marketing/lists/{_ID}/contacts"),  # membership only: the contact stays
        ("PUT", "marketing/contacts"),
        ("GET", f"marketing/contacts/imports/{_ID}"),
        ("POST", "marketing/contacts/search/emails"),
        ("POST", "marketing/singlesends/search"),
        ("GET", f"marketing/singlesends/{_ID}"),
        ("POST", "marketing/singlesends"),
        ("PATCH", f"marketing/singlesends/{_ID}"),
        ("GET", f"marketing/senders/{_ID}"),
        ("GET", "designs"),
        ("GET", f"designs/{_ID}"),
        ("POST", "designs"),
        ("PATCH", f"designs/{_ID}"),
        ("GET", f"asm/groups/{_ID}"),
        ("GET", f"asm/groups/{_ID}/suppressions"),
        ("GET", "suppression/(unsubscribes|bounces|spam_reports|invalid_emails)"),
    )
)
_FORBIDDEN_WORDS = ("send_at", "bypass_")
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_TRIES = 5
_ADDRESS = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+")


class ForbiddenRequestError(RuntimeError):
    """A request that is not on the list was about to leave: a mistake in this program, never a user's."""


def check_request(method: str, url: str, body: bytes | None) -> None:
    """Refuse every request that could send, schedule, re-subscribe or delete; raises ForbiddenRequestError."""
    path = urlsplit(url).path
    if not any(method == allowed and pattern.fullmatch(path) for allowed, pattern in ALLOWED):
        message = f"{method} {path} is not on the list of requests that drafts need; nothing was sent."
        raise ForbiddenRequestError(message)
    words = _keys(json.loads(body)) if body else set()
    if found := sorted(word for word in words if word.startswith(_FORBIDDEN_WORDS)):
        message = f"{method} {path} with {', '.join(found)} could reach customers; nothing was sent."
        raise ForbiddenRequestError(message)


def _keys(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return set(value) | {key for inner in value.values() for key in _keys(inner)}
    if isinstance(value, list):
        return {key for inner in value for key in _keys(inner)}
    return set()


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        """Follow nothing: urllib would carry the API key to wherever it is sent."""


class _GuardedClient(Client):
    """The library's client with the list of allowed requests in its transport, and without redirects."""

    def _build_client(self, name: str | None = None) -> "_GuardedClient":
        state = vars(self)
        path = state["_url_path"]
        return _GuardedClient(
            host=state["host"],
            version=state["_version"],
            request_headers=state["request_headers"],
            url_path=[*path, name] if name else path,
            timeout=state["timeout"],
        )

    def _make_request(self, _opener: OpenerDirector, request: Request, timeout: float | None = None) -> Any:
        check_request(request.get_method(), request.full_url, request.data if isinstance(request.data, bytes) else None)
        try:
            return build_opener(_NoRedirect).open(request, timeout=timeout or vars(self)["timeout"])
        except urllib.error.HTTPError as error:
            raise handle_error(error) from None


@dataclass
class Wire:
    """Requests to one account with patience: waits where SendGrid asks for it, never longer than configured."""

    api_key: SecretStr
    settings: SendGridSettings
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    waited_seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        library = SendGridAPIClient(api_key=self.api_key.get_secret_value(), host=self.settings.base_url)
        self._client = _GuardedClient(
            host=self.settings.base_url,
            request_headers=library._default_headers,  # noqa: SLF001 - the library's own headers, its only way out
            version=3,
            timeout=math.ceil(self.settings.request_timeout_seconds),
        )

    def ask(
        self, method: str, path: str, *, body: Any = None, query: Mapping[str, Any] | None = None, again: bool = True
    ) -> Any:
        """The answer as JSON (None without one). ``again`` False for what must not happen twice unseen.

        Raises ConfigurationError (key, permission, region), RejectedError (refused as it is) or TransientError.
        """
        for tried in range(1, _TRIES + 1):
            try:
                return self._once(method, path, body, query)
            except HTTPError as error:
                if error.status_code not in _AGAIN:
                    raise _translate(method, path, error) from None
                if error.status_code != 429 and not again:  # noqa: PLR2004 - 429 is the one sure to have done nothing
                    raise TransientError(f"SendGrid answered {error.status_code} to {method} {path}.") from None
                wait = self._wait_asked(error, tried)
                reason = f"SendGrid answered {error.status_code} to {method} {path}"
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                if not again:
                    raise TransientError(f"{method} {path} got no answer: the next run will look.") from error
                wait, reason = float(2**tried), f"{method} {path} got no answer ({type(error).__name__})"
            if tried == _TRIES or wait > self.settings.longest_wait_seconds:
                raise TransientError(f"{reason}; run again later.", wait_seconds=wait)
            self.waited_seconds += wait
            self.sleep(wait)
        raise AssertionError("unreachable")  # pragma: no cover - the last try returns or raises

    def pages(self, method: str, path: str, *, body: Any = None, size: int = 100) -> Iterator[Any]:
        """Every entry of a paged answer: ``result``, then ``_metadata.next`` as long as there is one."""
        query: dict[str, Any] = {"page_size": size}
        while True:
            answer = self.ask(method, path, body=body, query=query)
            yield from answer.get("result") or []
            token = parse_qs(urlsplit((answer.get("_metadata") or {}).get("next") or "").query).get("page_token")
            if not token:
                return
            query = {"page_size": size, "page_token": token[0]}

    def _once(self, method: str, path: str, body: Any, query: Mapping[str, Any] | None) -> Any:
        call = getattr(self._client._(path), method.lower())
        content = call(request_body=body, query_params=query).body
        if not content:
            return None
        try:
            return json.loads(content)
        except ValueError as error:
            raise TransientError(f"{method} {path} was answered with something else than JSON.") from error

    def _wait_asked(self, error: HTTPError, tried: int) -> float:
        if after := _number(error.headers.get("Retry-After")):
            return after
        if reset := _number(error.headers.get("X-RateLimit-Reset")):
            return max(1.0, reset - self.clock())
        return float(2**tried)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _translate(method: str, path: str, error: HTTPError) -> Exception:
    said = scrub(_messages(error.body))
    match error.status_code:
        case 401:
            return ConfigurationError("SendGrid does not accept the API key (401): put a valid one into the secret.")
        case 403:
            return ConfigurationError(
                f"SendGrid refuses {method} {path} (403): give the API key full access to Marketing and "
                f"read access to Suppressions. {said}"
            )
        case 451:
            return ConfigurationError("The account lives in another region (451): set base_url to its address.")
        case status if 300 <= status < 400:  # noqa: PLR2004 - redirects
            return ConfigurationError(f"{method} {path} was redirected ({status}): set base_url to the final address.")
        case status:
            return RejectedError(f"SendGrid refuses {method} {path} ({status}): {said}")


def _messages(body: bytes) -> str:
    """The platform's words: errors come as a list, as one object or bare."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    errors = answer.get("errors", answer) if isinstance(answer, Mapping) else answer
    listed = errors if isinstance(errors, list) else [errors]
    return "; ".join(str(e.get("message", "")) for e in listed if isinstance(e, Mapping))


def scrub(text: str) -> str:
    """The text without e-mail addresses, short enough to read."""
    return _ADDRESS.sub("…@…", text)[:300]
