"""A small HTTP receiver: it checks who speaks, puts what was said into the queue, and answers; nothing else.

``POST /events`` takes events of our own systems (bearer token), ``POST /webhooks/shopify`` and
``POST /webhooks/woocommerce`` what shops sign, ``GET /health`` says whether the process lives.
"""

import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from pydantic import SecretStr

from tasks.errors import RejectedError, SegmentationError
from tasks.intake.event import parse_events
from tasks.intake.queue import Delivery, Queue
from tasks.intake.webhooks import EVENT_HEADERS, SIGNATURE_HEADERS, TOPIC_HEADERS, Secrets, is_ping, is_signed

MOST_BYTES = 1_000_000
PATIENCE_SECONDS = 30
_WEBHOOKS = "/webhooks/"


@dataclass(frozen=True, slots=True)
class Inbox:
    """Where the receiver puts what it was given, and whom it believes; ``arrived`` is called after each delivery."""

    queue: Queue
    secrets: Secrets
    token: SecretStr | None = None
    arrived: Callable[[], object] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, delivery: Delivery) -> None:
        """Queue one delivery and wake the consumer."""
        with self.lock:
            self.queue.put([delivery])
        self.arrived()


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an HTTP answer."""

    status: HTTPStatus
    text: str = ""


def answer_events(inbox: Inbox, authorization: str, body: bytes) -> Answer:
    """Take events of our own systems: 202 when they are safe, 400 names the fields that are wrong."""
    expected = f"Bearer {inbox.token.get_secret_value()}".encode() if inbox.token else None
    if expected is None or not hmac.compare_digest(expected, authorization.encode("utf-8", "replace")):
        return Answer(HTTPStatus.UNAUTHORIZED, "Show the token that events.token names: Authorization: Bearer …")
    try:
        text = body.decode()
        parse_events(text)
    except UnicodeDecodeError:
        return Answer(HTTPStatus.BAD_REQUEST, "The body is not UTF-8.")
    except RejectedError as error:
        return Answer(HTTPStatus.BAD_REQUEST, str(error))
    inbox.put(Delivery(text, (("source", "api"),)))
    return Answer(HTTPStatus.ACCEPTED)


def answer_webhook(inbox: Inbox, platform: str, headers: dict[str, str], body: bytes) -> Answer:
    """Take a shop's delivery: 401 when the signature does not fit, 200 when it is safe."""
    if platform not in SIGNATURE_HEADERS or platform not in inbox.secrets:
        return Answer(HTTPStatus.NOT_FOUND)
    if is_ping(platform, body):
        return Answer(HTTPStatus.OK)
    signature = headers.get(SIGNATURE_HEADERS[platform], "")
    if not is_signed(body, signature, inbox.secrets[platform]):
        return Answer(HTTPStatus.UNAUTHORIZED)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return Answer(HTTPStatus.BAD_REQUEST)
    told = {
        "source": platform,
        "signature": signature,
        "topic": headers.get(TOPIC_HEADERS[platform], ""),
        "event": headers.get(EVENT_HEADERS[platform], ""),
    }
    inbox.put(Delivery(text, tuple(sorted(told.items()))))
    return Answer(HTTPStatus.OK)


class Receiver(BaseHTTPRequestHandler):
    """Answers requests for one inbox."""

    inbox: ClassVar[Inbox]
    server_version, sys_version = "segmentation", ""
    timeout = PATIENCE_SECONDS

    def do_GET(self) -> None:
        """Say that the process lives and how much waits."""
        if self.path != "/health":
            self._answer(Answer(HTTPStatus.NOT_FOUND))
            return
        self._answer(Answer(HTTPStatus.OK, json.dumps({"waiting": self.inbox.queue.waiting()})))

    def do_POST(self) -> None:
        """Take a delivery."""
        body = self._body()
        if body is None:
            return
        try:
            self._answer(self._take(body))
        except SegmentationError:  # the queue is away: the sender must try again
            self._answer(Answer(HTTPStatus.SERVICE_UNAVAILABLE))

    def _take(self, body: bytes) -> Answer:
        if self.path == "/events":
            return answer_events(self.inbox, self.headers.get("Authorization", ""), body)
        if self.path.startswith(_WEBHOOKS):
            headers = {name.lower(): value for name, value in self.headers.items()}
            return answer_webhook(self.inbox, self.path.removeprefix(_WEBHOOKS), headers, body)
        return Answer(HTTPStatus.NOT_FOUND)

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self._answer(Answer(HTTPStatus.LENGTH_REQUIRED))
        elif int(length) > MOST_BYTES:
            self.close_connection = True
            self._answer(Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
        else:
            return self.rfile.read(int(length))
        return None

    def _answer(self, answer: Answer) -> None:
        content = answer.text.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing: a request line may name a person."""


def receiver(inbox: Inbox) -> type[Receiver]:
    """The request handler of this inbox."""
    return type("Receiver", (Receiver,), {"inbox": inbox})
