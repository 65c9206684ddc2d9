"""`segmentation serve`: a long-running consumer of events, with a receiver for webhooks and API events in front of it.

A flow run per event costs ten seconds and more of starting; this process is already there. It does the same as the flow
``refresh_customers``, by the same function, so both may run on one queue.
"""

import logging
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from types import FrameType

from flows.receiver import Inbox, receiver
from flows.refresh_customers import Desk, Mode, RefreshSummary, drain
from flows.turns import turn
from tasks.config import load_config
from tasks.errors import ConfigurationError, SegmentationError
from tasks.secrets import find_secret

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
LOG = logging.getLogger("segmentation.serve")
MOST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the receiver listens; beyond this machine it needs a certificate, because orders and addresses pass."""

    host: str = "127.0.0.1"
    port: int = 8080
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if self.host not in LOOPBACK and not self.certificate:
            raise ConfigurationError(
                f"serve: listening on {self.host} needs --certificate and --key. Or listen on 127.0.0.1 behind a proxy "
                "that speaks TLS."
            )


@dataclass(slots=True)
class Consumer:
    """The loop: wake up when something came in, or after ``poll_seconds``; stop after the batch at hand."""

    desk: Desk
    push: Mode
    poll_seconds: float = 2.0
    woken: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    total: RefreshSummary = field(default_factory=RefreshSummary)
    failures: int = 0

    def stop(self) -> None:
        """Finish the batch at hand and leave."""
        self.stopping.set()
        self.woken.set()

    def run(self) -> RefreshSummary:
        """Consume until stopped; a failure that waiting helps is waited out, what was not finished is offered again.

        Raises ConfigurationError at once: a person must act.
        """
        while not self.stopping.is_set():
            self.woken.clear()
            try:
                done = self._drain()
            except ConfigurationError:
                raise
            except SegmentationError as error:
                self.failures += 1
                LOG.warning("events are kept and tried again: %s", error)
                self.woken.wait(min(MOST_PAUSE_SECONDS, self.poll_seconds * 2**self.failures))
                continue
            self.failures = 0
            self._tell(done)
            if not done.events:
                self.woken.wait(self.poll_seconds)
        return self.total

    def _drain(self) -> RefreshSummary:
        """One batch; the turn comes before the events, for a queue lends them for a while only."""
        if not self.desk.queue.waiting():
            return RefreshSummary()
        with turn(self.desk.lake, self.stopping.is_set):
            return drain(self.desk, self.push, self.desk.config.events.batch)

    def _tell(self, done: RefreshSummary) -> None:
        self.total += done
        for note in done.notes:
            LOG.warning("%s", note)
        for alarm in done.alarms:
            LOG.warning("%s", alarm.subject)
        if done.events:
            LOG.info(
                "%d events, %d refused: %d customers refreshed, %d moved, %d changes planned, %d delivered",
                *(done.events, done.refused, done.customers, done.moved, done.planned, done.delivered),
            )


def serve(config: str, push: Mode, address: Address, poll_seconds: float = 2.0) -> RefreshSummary:
    """Receive and consume events until SIGTERM or SIGINT; returns what was done in all."""
    settings = load_config(config)
    desk = Desk.of(settings)
    token = find_secret(settings.events.token) if settings.events.token else None
    consumer = Consumer(desk, push, poll_seconds)
    inbox = Inbox(desk.queue, desk.secrets, token, arrived=consumer.woken.set)
    with _until_told(consumer), _listening(inbox, address):
        return consumer.run()


@contextmanager
def _until_told(consumer: Consumer) -> Iterator[None]:
    """SIGTERM (a container is stopped) and SIGINT (Ctrl-C) finish the batch at hand."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        consumer.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _listening(inbox: Inbox, address: Address) -> Iterator[None]:
    server = ThreadingHTTPServer((address.host, address.port), receiver(inbox))
    if address.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(address.certificate, address.key or None)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
    thread.start()
    LOG.info("listening on %s port %d", address.host, server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
