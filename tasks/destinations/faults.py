"""What a status means, once for all platforms; a platform states only its differences."""

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx
import orjson

from tasks.destinations.scrub import scrub
from tasks.errors import ConfigurationError, RejectedError, SegmentationError, TransientError

LONGEST_WAIT_SECONDS = 3_600.0
_WAITING_HELPS = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.LOCKED,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}
_REFUSED = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_EPOCH = 1_000_000_000  # a reset header above this is a moment, below it a duration


def fault_of(response: httpx.Response, title: str, secrets: tuple[str, ...]) -> SegmentationError:
    """The error a response stands for: 408/423/425/429/5xx wait, 400/409/413/422 refuse, others ask a person."""
    status = response.status_code
    place = f"{title}: {response.request.method} {response.request.url.path}"
    said = scrub(f"{place} answered {status} {words_of(response)}", secrets)
    if status in _WAITING_HELPS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TransientError(said, wait_seconds=wait_of(response.headers))
    if status in _REFUSED:
        return RejectedError(said)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return ConfigurationError(f"{said}. Check the credentials and what they are allowed to do.")
    return ConfigurationError(f"{said}. Check the account's settings.")


def words_of(response: httpx.Response) -> str:
    """The vendor's own words about a failure, wherever it puts them."""
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return response.text[:200]
    return say(body)


def say(body: object) -> str:
    """The readable texts in an error body, shortest form first."""
    match body:
        case str():
            return body
        case list():
            return "; ".join(filter(None, map(say, body[:3])))
        case dict():
            names = ("code", "errorCode", "title", "message", "detail", "error", "reason", "field_message", "errors")
            return " ".join(filter(None, (say(body[name]) for name in names if name in body)))
        case int():
            return str(body)
        case _:
            return ""


def wait_of(headers: Mapping[str, str]) -> float | None:
    """How long the vendor asks to wait: Retry-After in seconds or as a date, else a rate limit's reset."""
    if (asked := headers.get("retry-after")) is not None:
        return _bounded(_seconds(asked))
    return exhausted_wait(headers) or reset_wait(headers)


def exhausted_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds to pause after a success that used up the window; None when something is left."""
    for prefix in ("ratelimit-", "x-ratelimit-", "x-rate-limit-", "x-sib-ratelimit-"):
        left = headers.get(f"{prefix}remaining")
        if left is not None and left.strip().isdigit() and int(left) == 0:
            return reset_wait(headers)
    return None


def reset_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until the window of a rate limit begins anew, from a moment or a duration."""
    for name in ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset", "x-sib-ratelimit-reset"):
        try:
            value = float(headers.get(name, ""))
        except ValueError:
            continue
        return _bounded(value - time.time() if value > _EPOCH else value)
    return None


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None


def _bounded(seconds: float | None) -> float | None:
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
