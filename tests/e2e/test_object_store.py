"""The same lake and the same daily job on a real S3-compatible store: signatures, conditional commits, restarts."""

import threading
from datetime import date

import boto3
import pyarrow as pa
import pytest

from tasks.errors import CheckFailedError
from tasks.lake import Lake
from tests.e2e.object_store import missing, object_store
from tests.flows.small_shop import write_shop

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(missing(), reason="radosgw is not installed on this machine"),
]
DAY = date(2025, 7, 1)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    root = tmp_path_factory.mktemp("ceph")
    with object_store(root) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="retailer")
        yield "s3://retailer"


def rows(day: date, value: float, kpi: str = "customers") -> pa.Table:
    return pa.table({"as_of": [day], "kpi": [kpi], "subject": ["all"], "value": [value], "unit": ["customers"]})


def test_a_version_stays_readable_and_an_append_is_taken_once(bucket):
    lake = Lake(root=f"{bucket}/versions")
    first = lake.replace("kpis", rows(DAY, 1), where={"as_of": DAY})
    second = lake.replace("kpis", rows(DAY, 2), where={"as_of": DAY})
    assert [lake.read(each)["value"].to_pylist() for each in (first, second)] == [[1.0], [2.0]]
    once = lake.append("kpis", rows(DAY, 3, "orders"), transaction="file-1")
    assert lake.append("kpis", rows(DAY, 3, "orders"), transaction="file-1") == once
    with pytest.raises(CheckFailedError, match="repeat the key"):
        lake.replace("kpis", pa.concat_tables([rows(DAY, 4), rows(DAY, 5)]), where={"as_of": DAY})
    assert lake.latest("kpis") == once


def test_four_writers_of_four_days_all_succeed(bucket):
    lake = Lake(root=f"{bucket}/race")
    lake.replace("kpis", rows(DAY, 0), where={"as_of": DAY})
    days = [date(2025, 7, number) for number in range(2, 6)]
    writers = [
        threading.Thread(target=lake.replace, args=("kpis", rows(day, day.day)), kwargs={"where": {"as_of": day}})
        for day in days
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert lake.days("kpis") == [DAY, *days]


def test_the_daily_job_on_the_store_equals_the_one_in_a_directory(bucket, tmp_path, prefect_server):
    from flows.segment_customers import segment_customers

    config = write_shop(tmp_path / "shop")
    remote, local = f"{bucket}/shop", str(tmp_path / "lake")
    first = segment_customers(str(config), DAY, "plan", remote)
    segment_customers(str(config), DAY, "plan", local)
    assert first.customers == 62
    for table in ("order_lines", "customer_features", "customer_segments", "kpis"):
        far, near = Lake(root=remote), Lake(root=local)
        assert far.fingerprint(far.latest(table)) == near.fingerprint(near.latest(table))
    version = Lake(root=remote).latest("customer_features")
    segment_customers(str(config), DAY, "plan", remote)
    assert Lake(root=remote).latest("customer_features") == version
