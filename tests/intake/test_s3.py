"""The same intake with files and lake on S3."""

import os
from collections.abc import Iterator
from datetime import date

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tasks.intake.inspection import check_sources
from tasks.intake.intake import take_in
from tasks.lake import Lake
from tests.intake import hostile


@pytest.fixture
def bucket(monkeypatch) -> Iterator[str]:
    """An S3 bucket on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    values = {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=values["AWS_ENDPOINT_URL_S3"]).create_bucket(Bucket="shop")
    yield "shop"
    server.stop()


@pytest.mark.e2e  # a server of moto, and everything twice
def test_files_and_lake_on_s3_give_what_a_directory_gives(bucket, tmp_path):
    local = tmp_path / "shop"
    hostile.write(local)
    store = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"])
    for path in sorted(local.rglob("*.*")):
        store.upload_file(str(path), bucket, str(path.relative_to(local)))
    config = hostile.config(local, only=("web", "app"))
    sources = tuple(
        s.model_copy(update={"files": s.files.replace(str(local), f"s3://{bucket}")}) for s in config.sources
    )
    remote = config.model_copy(update={"lake": f"s3://{bucket}/lake", "sources": sources})
    assert check_sources(remote) == []
    lake = Lake(root=remote.lake, memory_limit="1GB", threads=2)
    report = take_in(lake, remote, date(2024, 11, 1))
    with lake.database([lake.latest("orders")]) as db:
        found = dict(db.sql("SELECT order_id, amount FROM orders").fetchall())
    assert found == {order: amount for order, amount in hostile.AMOUNTS.items() if not order.startswith("T")}
    assert report.sums.balanced
