"""One account and the conversation with it, as a platform file sees them; addresses are encrypted or loopback."""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict

from tasks.destinations.people import Key

T = TypeVar("T")


def secure_address(address: str) -> str:
    """Accept https everywhere and http on loopback only; raises ValueError otherwise."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    loopback = host == "localhost" or (host.replace(":", "").replace(".", "").isdigit() and _is_loopback(host))
    if parts.username or parts.password:
        raise ValueError("must not carry credentials")
    if not host or parts.scheme not in {"https", "http"} or (parts.scheme == "http" and not loopback):
        raise ValueError("must be an https address (http only on loopback)")
    return address.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Address = Annotated[str, AfterValidator(secure_address)]


class Account(BaseModel):
    """Settings and secrets of one account; every secret is a SecretStr field, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base: Address = "https://localhost"
    key: Key | None = None  # what customers are recognised by; the platform's first choice when left out


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and how long it lives."""

    value: str = field(repr=False)
    lives_seconds: float
    base: str = ""


class Session(Protocol):
    """One account's conversation; paced, retried, authorised and scrubbed by the shared client."""

    account: Any
    requests: int
    budget: int | None

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
        """Send one request; 2xx and the statuses in ``accept`` return, everything else raises one of our errors."""

    def poll(self, ask: Callable[[], T | None], *, what: str, every_seconds: float = 2.0) -> T:
        """Ask until the answer is not None; TransientError when the job takes longer than the account allows."""

    def attempt(self, action: Callable[[], T]) -> T:
        """Do something through a vendor's own client with this account's pace and patience."""

    def once(self) -> AbstractContextManager[None]:
        """Inside, a request whose outcome is unknown is not repeated."""

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """Make a value once per push and share it between threads."""
