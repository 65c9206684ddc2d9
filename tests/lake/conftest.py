"""The lake on a directory and on S3."""

from collections.abc import Iterator
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tasks.lake import Lake


@pytest.fixture(scope="session")
def store() -> Iterator[str]:
    """An S3 server on this machine; its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(store, monkeypatch) -> str:
    """An empty bucket; its address."""
    values = {
        "AWS_ENDPOINT_URL_S3": store,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    name = f"lake-{uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=store).create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture(params=["directory", "s3"])
def lake(request, tmp_path) -> Lake:
    """An empty lake, once in a directory and once on S3."""
    root = str(tmp_path / "lake") if request.param == "directory" else request.getfixturevalue("s3") + "/lake"
    return Lake(root=root, memory_limit="1GB", threads=2)
