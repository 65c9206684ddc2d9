"""The queue of events: a directory by default, SQS on AWS. Taken is not gone: what is not finished is offered again.

Deliveries travel as they came (raw body and the attributes a sender or gateway put beside it), because a signature is
made over raw bytes. Both queues deliver at least once and in no promised order; what follows must not care.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config as Botocore
from botocore.exceptions import BotoCoreError, ClientError

from tasks.config import Config
from tasks.errors import ConfigurationError, TransientError
from tasks.lake.storage import is_s3

_SQS_BATCH = 10
_SQS_BYTES = 200_000  # of a whole batch; the service takes a little more


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a sender delivered: the raw body, and attributes (source, signature, topic, event) beside it."""

    body: str
    attributes: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """An attribute, empty where there is none."""
        return dict(self.attributes).get(name, "")


@dataclass(frozen=True, slots=True)
class Message:
    """A delivery taken from the queue for the ``tries``-th time; ``receipt`` names it to the queue."""

    delivery: Delivery
    receipt: str
    tries: int


class Queue(Protocol):
    """What both queues can do."""

    @property
    def name(self) -> str:
        """Name in logs and tables."""

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Add deliveries; when this returns they are safe."""

    def take(self, most: int) -> list[Message]:
        """Up to ``most`` messages that nobody else sees until they are finished or their time is over."""

    def finish(self, messages: Sequence[Message]) -> None:
        """Take messages out for good."""

    def waiting(self) -> int:
        """About how many messages could be taken now."""


def open_queue(config: Config) -> Queue:
    """The queue that the configuration names. ConfigurationError: a lake on S3 has no place for a directory."""
    address = config.events.queue
    if address.startswith(("https://", "http://")):
        return SqsQueue(address, config.events.visible_again_seconds)
    if not address and is_s3(config.lake):
        raise ConfigurationError(
            "events.queue is not set. With a lake on S3 give the address of an SQS queue (https://sqs.…)."
        )
    if is_s3(address):
        raise ConfigurationError(f"events.queue: {address} is on S3. Give a directory or the address of an SQS queue.")
    return DirectoryQueue(Path(address or f"{config.lake}/_queue"), config.events.visible_again_seconds)


@dataclass(frozen=True, slots=True)
class DirectoryQueue:
    """One file per delivery; a move within a file system is atomic, so two takers never get the same one."""

    folder: Path
    visible_again_seconds: float
    clock: Callable[[], float] = time.time

    @property
    def name(self) -> str:
        """Name in logs and tables."""
        return "events"

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Write each delivery beside the queue, then move it in whole."""
        new, half = self._part("new"), self._part("half")
        now = int(self.clock() * 1_000_000)
        for position, delivery in enumerate(deliveries):
            text = json.dumps({"body": delivery.body, "attributes": dict(delivery.attributes)})
            digest = hashlib.sha256(text.encode()).hexdigest()[:12]
            name = f"{now + position:020d}-{os.getpid()}-{digest}.json"
            (half / name).write_text(text, encoding="utf-8")
            (half / name).rename(new / name)

    def take(self, most: int) -> list[Message]:
        """Messages whose time is over first, then new ones, oldest first."""
        due = int((self.clock() + self.visible_again_seconds) * 1000)
        taken: list[Message] = []
        for path, tries, name in self._offered():
            if len(taken) == most:
                break
            mine = self._part("taken") / f"{due}.{tries}.{name}"
            try:
                path.rename(mine)
            except FileNotFoundError:
                continue
            taken.append(_read(mine, tries))
        return taken

    def finish(self, messages: Sequence[Message]) -> None:
        """Delete the files."""
        for message in messages:
            Path(message.receipt).unlink(missing_ok=True)

    def waiting(self) -> int:
        """How many messages could be taken now."""
        return sum(1 for _ in self._offered())

    def _offered(self) -> Iterator[tuple[Path, int, str]]:
        now = self.clock() * 1000
        for path in sorted(self._part("taken").iterdir()):
            due, tries, name = path.name.split(".", 2)
            if int(due) <= now:
                yield path, int(tries) + 1, name
        for path in sorted(self._part("new").iterdir()):
            yield path, 1, path.name

    def _part(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _read(path: Path, tries: int) -> Message:
    """A file that is no delivery (somebody put it there by hand) is offered as a body that nobody understands."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        found = json.loads(text)
        delivery = Delivery(str(found["body"]), tuple((str(k), str(v)) for k, v in found["attributes"].items()))
    except (ValueError, KeyError, TypeError, AttributeError):
        delivery = Delivery(text)
    return Message(delivery, str(path), tries)


@dataclass(slots=True)
class SqsQueue:
    """An SQS queue; visibility and redelivery are the service's own."""

    address: str
    visible_again_seconds: int
    wait_seconds: int = 1  # a short poll may come back empty although messages wait
    _client: Any = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Name in logs and tables."""
        return self.address.rsplit("/", 1)[-1]

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Send in batches; TransientError when the service refuses one of them."""
        for batch in _batches(deliveries):
            entries = [{"Id": str(number), **_entry(delivery)} for number, delivery in enumerate(batch)]
            answer = self._call("send_message_batch", Entries=entries)
            if answer.get("Failed"):
                raise TransientError(f"Queue {self.name}: {len(answer['Failed'])} messages were not accepted.")

    def take(self, most: int) -> list[Message]:
        """Receive until ``most`` are there or the queue is empty."""
        taken: list[Message] = []
        while len(taken) < most:
            answer = self._call(
                "receive_message",
                MaxNumberOfMessages=min(_SQS_BATCH, most - len(taken)),
                VisibilityTimeout=self.visible_again_seconds,
                WaitTimeSeconds=self.wait_seconds,
                MessageAttributeNames=["All"],
                AttributeNames=["ApproximateReceiveCount"],
            )
            found = answer.get("Messages", [])
            if not found:
                break
            taken += [_message(one) for one in found]
        return taken

    def finish(self, messages: Sequence[Message]) -> None:
        """Delete in batches; one that could not be deleted comes again and changes nothing."""
        for start in range(0, len(messages), _SQS_BATCH):
            part = messages[start : start + _SQS_BATCH]
            entries = [{"Id": str(n), "ReceiptHandle": message.receipt} for n, message in enumerate(part)]
            self._call("delete_message_batch", Entries=entries)

    def waiting(self) -> int:
        """What the service estimates."""
        found = self._call("get_queue_attributes", AttributeNames=["ApproximateNumberOfMessages"])
        return int(found["Attributes"]["ApproximateNumberOfMessages"])

    def _call(self, operation: str, **arguments: Any) -> Any:
        if self._client is None:
            self._client = boto3.client("sqs", config=Botocore(retries={"mode": "standard", "max_attempts": 5}))
        try:
            return getattr(self._client, operation)(QueueUrl=self.address, **arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if "NonExistentQueue" in code or "AccessDenied" in code:
                raise ConfigurationError(
                    f"Queue {self.name}: {code}. See events.queue and the rights of this task."
                ) from error
            raise TransientError(f"Queue {self.name}: {operation} failed ({code}).") from error
        except BotoCoreError as error:
            raise TransientError(f"Queue {self.name}: {operation} failed ({type(error).__name__}).") from error


def _batches(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    batch: list[Delivery] = []
    size = 0
    for delivery in deliveries:
        own = len(delivery.body.encode()) + sum(len(k) + len(v) for k, v in delivery.attributes)
        if batch and (len(batch) == _SQS_BATCH or size + own > _SQS_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(delivery)
        size += own
    if batch:
        yield batch


def _entry(delivery: Delivery) -> dict[str, Any]:
    told = {name: {"DataType": "String", "StringValue": value} for name, value in delivery.attributes if value}
    return {"MessageBody": delivery.body, "MessageAttributes": told}


def _message(found: dict[str, Any]) -> Message:
    told = {name: value.get("StringValue", "") for name, value in found.get("MessageAttributes", {}).items()}
    return Message(
        Delivery(found["Body"], tuple(sorted(told.items()))),
        found["ReceiptHandle"],
        int(found.get("Attributes", {}).get("ApproximateReceiveCount", "1")),
    )
