"""The same push with lake, journal and outbox on an object store."""

from collections.abc import Iterator

import boto3
import orjson
import pytest
from moto.server import ThreadedMotoServer

from tasks.destinations import apply as apply_module
from tasks.destinations.apply import apply_plan
from tasks.destinations.journal import journal_files
from tasks.destinations.plan import make_plan
from tasks.destinations.registry import platform_of
from tests.destinations.world import AS_OF, AT, KEY, LOOSE, outbox, plain_connect, retailer

pytestmark = pytest.mark.e2e


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="shop")
    yield "s3://shop/lake"
    server.stop()


def test_a_push_on_s3_is_resumed_from_its_journal(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    lake, where = retailer(bucket), outbox("s3://shop/outbox")
    plan, _ = make_plan(lake, [], [where], LOOSE, as_of=AS_OF, at=AT, person_key=KEY)
    real = platform_of("outbox")
    calls: list[int] = []

    def dies(session, target, parts):
        calls.append(len(parts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real.push(session, target, parts)

    small = replace(real, limits=replace(real.limits, rows=1), push=dies)
    monkeypatch.setattr(apply_module, "platform_of", lambda _slug: small)
    with pytest.raises(KeyboardInterrupt):
        apply_plan(lake, plan, [where], plain_connect(), at=AT, person_key=KEY)
    assert journal_files(lake, plan.plan_id, "outbox")
    monkeypatch.setattr(apply_module, "platform_of", lambda _slug: replace(small, push=real.push))
    done = apply_plan(lake, plan, [where], plain_connect(), at=AT, person_key=KEY).destinations[0]
    assert (done.delivered, done.sent_again) == (5, 1)
    assert journal_files(lake, plan.plan_id, "outbox") == []

    store = boto3.client("s3")
    names = [one["Key"] for one in store.list_objects_v2(Bucket="shop", Prefix="outbox/")["Contents"]]
    lines = [
        orjson.loads(line)
        for name in names
        if name.endswith(".ndjson")
        for line in store.get_object(Bucket="shop", Key=name)["Body"].read().splitlines()
    ]
    assert sorted(line["customer_id"] for line in lines) == ["ana", "ben", "cleo", "dora", "emil"]
    assert make_plan(lake, [], [where], LOOSE, as_of=AS_OF, at=AT, person_key=KEY)[0].changes == 0
