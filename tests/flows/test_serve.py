"""The long-running consumer: it believes whom it should, does what the flow does, and stops when told."""

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parent))

from shop import purchase

from flows import serve as serving
from flows.receiver import MOST_BYTES, Inbox, receiver
from flows.refresh_customers import Desk, RefreshSummary
from flows.serve import Address, Consumer
from flows.turns import turn
from tasks.config import Config
from tasks.destinations.connect import connector
from tasks.errors import ConfigurationError, TransientError
from tasks.intake.queue import DirectoryQueue


class Post:
    """A client of a receiver on loopback."""

    def __init__(self, queue, port):
        self.queue, self.port = queue, port

    def __call__(self, path, body, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("POST" if body is not None else "GET", path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


@contextmanager
def listening(folder, *tokens):
    queue = DirectoryQueue(folder, 900)
    secrets = {"shopify": [SecretStr("hush")], "woocommerce": [SecretStr("hush")]}
    inbox = Inbox(queue, secrets, *map(SecretStr, tokens))
    server = ThreadingHTTPServer(("127.0.0.1", 0), receiver(inbox))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Post(queue, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def post(tmp_path):
    with listening(tmp_path, "hush") as made:
        yield made


def sign(body):
    return base64.b64encode(hmac.new(b"hush", body, hashlib.sha256).digest()).decode()


def test_an_event_with_the_token_is_queued_before_it_is_answered(post):
    body = purchase("ana", "o1").body
    assert post("/events", body, Authorization="Bearer hush") == (202, "")
    (message,) = post.queue.take(10)
    assert (message.delivery.body, message.delivery.get("source")) == (body, "api")


@pytest.mark.parametrize("shown", ["", "Bearer wrong", "hush", "bearer hush"])
def test_without_the_token_nothing_is_queued(post, shown):
    assert post("/events", purchase("ana", "o1").body, Authorization=shown)[0] == 401
    assert post.queue.waiting() == 0


def test_where_no_token_is_configured_nobody_may_send(tmp_path):
    with listening(tmp_path) as post:
        assert post("/events", purchase("ana", "o1").body, Authorization="Bearer ")[0] == 401


def test_a_wrong_event_is_told_by_field_and_not_queued(post):
    body = json.dumps({"id": "1", "kind": "purchase", "at": "ana@example.com"})
    status, told = post("/events", body, Authorization="Bearer hush")
    assert status == 400
    assert "at:" in told
    assert "ana@example.com" not in told
    assert post.queue.waiting() == 0


def test_a_signed_webhook_is_queued_with_what_the_reader_needs(post):
    body = b'{"id": 1}'
    headers = {"X_Shopify_Hmac_Sha256": sign(body), "X_Shopify_Topic": "orders/create", "X_Shopify_Webhook_Id": "w1"}
    assert post("/webhooks/shopify", body, **headers)[0] == 200
    (message,) = post.queue.take(1)
    told = dict(message.delivery.attributes)
    assert told == {"source": "shopify", "signature": sign(body), "topic": "orders/create", "event": "w1"}


def test_a_forged_webhook_is_refused_and_not_queued(post):
    assert post("/webhooks/shopify", b'{"id": 2}', X_Shopify_Hmac_Sha256=sign(b'{"id": 1}'))[0] == 401
    assert post("/webhooks/unknown", b"{}")[0] == 404
    assert post.queue.waiting() == 0


def test_the_ping_of_woocommerce_is_answered_and_forgotten(post):
    assert post("/webhooks/woocommerce", b"webhook_id=5")[0] == 200
    assert post.queue.waiting() == 0


def test_what_is_too_large_is_not_read(post):
    try:
        status = post("/events", b"x" * (MOST_BYTES + 1), Authorization="Bearer hush")[0]
    except (BrokenPipeError, ConnectionResetError):  # the receiver hung up before all was sent
        status = 413
    assert status == 413
    assert post("/health", None) == (200, '{"waiting": 0}')


def test_health_says_how_much_waits(post):
    post("/events", purchase("ana", "o1").body, Authorization="Bearer hush")
    assert post("/health", None) == (200, '{"waiting": 1}')


def test_beyond_this_machine_a_certificate_is_needed():
    with pytest.raises(ConfigurationError, match="certificate"):
        Address("0.0.0.0")  # noqa: S104 - that is the point
    assert Address("127.0.0.1").port == 8080


@pytest.fixture
def desk(lake):
    """A lake that nobody else changes, and one event that always waits."""
    queue = DirectoryQueue(Path(lake.root) / "_queue", 60)
    queue.put([purchase("ana", "one")])
    return Desk(Config(), lake, queue, connector(), {}, "key")


def test_the_loop_waits_out_what_passes_and_stops_after_the_batch_at_hand(desk, monkeypatch):
    consumer = Consumer(desk, "plan", poll_seconds=0.001)
    seen = []

    def drain(_desk, _push, _most):
        seen.append(len(seen))
        if len(seen) == 1:
            raise TransientError("the store is away")
        if len(seen) == 3:
            consumer.stop()
        return RefreshSummary(events=5, customers=2)

    monkeypatch.setattr(serving, "drain", drain)
    total = consumer.run()
    assert (len(seen), total.events, total.customers) == (3, 10, 4)


def test_what_a_person_must_mend_ends_the_loop(desk, monkeypatch):
    def drain(*_args):
        raise ConfigurationError("no such queue")

    monkeypatch.setattr(serving, "drain", drain)
    with pytest.raises(ConfigurationError):
        Consumer(desk, "plan").run()


def test_while_another_run_changes_the_lake_no_event_is_taken_and_the_loop_still_stops(desk, monkeypatch):
    consumer = Consumer(desk, "plan", poll_seconds=0.001)
    monkeypatch.setattr(serving, "drain", lambda *_args: pytest.fail("the lake is taken"))
    with turn(desk.lake):
        loop = threading.Thread(target=consumer.run)
        loop.start()
        time.sleep(0.3)
        consumer.stop()
        loop.join(timeout=10)
        assert not loop.is_alive()
    assert desk.queue.waiting() == 1
