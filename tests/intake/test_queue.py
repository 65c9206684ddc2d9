"""Queues: what is put in comes out until it is finished, in a directory as on SQS."""

import json
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from tasks.config import Config, EventSettings
from tasks.errors import ConfigurationError, TransientError
from tasks.intake.queue import Delivery, DirectoryQueue, SqsQueue, open_queue

ANA = Delivery('{"id": "ana buys"}', (("signature", "abc="), ("source", "shopify")))
BEN = Delivery('{"id": "ben buys"}', (("source", "api"),))


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self) -> None:
        self.now += 901


@pytest.fixture(params=["directory", "sqs"])
def queue(request, tmp_path, monkeypatch):
    """Each kind of queue; time-outs of one second are lived through on SQS and told on the directory's clock."""
    if request.param == "directory":
        clock = Clock()
        made = DirectoryQueue(tmp_path / "queue", 900, clock)
        yield made, clock.pass_by
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        client = boto3.client("sqs")
        address = client.create_queue(QueueName="events")["QueueUrl"]
        made = SqsQueue(address, 900, wait_seconds=0)
        yield made, lambda: _show_again(client, address, made)


def _show_again(client, address, queue):
    for receipt in queue_receipts:
        client.change_message_visibility(QueueUrl=address, ReceiptHandle=receipt, VisibilityTimeout=0)


queue_receipts: list[str] = []


def take(queue, most=10):
    taken = queue.take(most)
    queue_receipts[:] = [message.receipt for message in taken]
    return taken


def test_a_delivery_comes_out_as_it_went_in(queue):
    made, _ = queue
    made.put([ANA])
    (message,) = take(made)
    assert message.delivery == ANA
    assert message.tries == 1


def test_what_is_taken_is_not_offered_to_anybody_else(queue):
    made, _ = queue
    made.put([ANA, BEN])
    assert len(take(made)) == 2
    assert made.take(10) == []


def test_what_is_not_finished_in_time_is_offered_again_and_counted(queue):
    made, later = queue
    made.put([ANA])
    take(made)
    later()
    (again,) = take(made)
    assert again.delivery == ANA
    assert again.tries == 2


def test_what_is_finished_never_comes_back(queue):
    made, later = queue
    made.put([ANA, BEN])
    taken = take(made)
    made.finish(taken)
    queue_receipts.clear()
    later()
    assert made.take(10) == []
    assert made.waiting() == 0


def test_a_batch_is_no_larger_than_asked_and_nothing_is_lost(queue):
    made, _ = queue
    made.put([Delivery(json.dumps({"id": number}), (("source", "api"),)) for number in range(57)])
    assert made.waiting() == 57
    seen = []
    while taken := made.take(25):
        assert len(taken) <= 25
        seen += [json.loads(message.delivery.body)["id"] for message in taken]
        made.finish(taken)
    assert sorted(seen) == list(range(57))


def test_two_takers_never_get_the_same_event(tmp_path):
    first, second = (DirectoryQueue(tmp_path, 900) for _ in range(2))
    first.put([Delivery(str(number)) for number in range(40)])
    ours, theirs = first.take(15), second.take(40)
    assert len(ours) == 15
    assert len(theirs) == 25
    assert not {m.delivery.body for m in ours} & {m.delivery.body for m in theirs}


def test_a_file_put_there_by_hand_is_offered_as_what_it_is(tmp_path):
    queue = DirectoryQueue(tmp_path, 900)
    queue.put([])
    (tmp_path / "new").mkdir(exist_ok=True)
    (tmp_path / "new" / "note.json").write_text("not a delivery")
    (message,) = queue.take(10)
    assert message.delivery == Delivery("not a delivery")


def test_a_queue_that_does_not_exist_is_a_persons_business(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        queue = SqsQueue("https://sqs.eu-west-1.amazonaws.com/123456789012/nowhere", 900, wait_seconds=0)
        with pytest.raises(ConfigurationError, match="nowhere"):
            queue.take(1)


def test_a_service_that_does_not_answer_is_waited_for(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    client = boto3.client(
        "sqs",
        endpoint_url="http://127.0.0.1:9",
        config=boto3.session.Config(retries={"max_attempts": 0}, connect_timeout=0.2),
    )
    with pytest.raises(TransientError, match="nobody"):
        SqsQueue("https://sqs.example/1/nobody", 900, _client=client).take(1)


def test_the_queue_is_a_directory_of_the_lake_unless_told_otherwise(tmp_path):
    made = open_queue(Config(lake=str(tmp_path / "lake")))
    assert isinstance(made, DirectoryQueue)
    assert made.folder == Path(f"{tmp_path}/lake/_queue")


def test_a_lake_on_s3_asks_for_a_queue_on_sqs():
    with pytest.raises(ConfigurationError, match=r"events\.queue"):
        open_queue(Config(lake="s3://bucket/lake"))
    address = "https://sqs.eu-west-1.amazonaws.com/1/events"
    assert isinstance(open_queue(Config(lake="s3://b/l", events=EventSettings(queue=address))), SqsQueue)
