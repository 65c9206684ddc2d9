"""Jobs of BigQuery that were begun before: gone on with while they serve, and followed by another when they do not."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.config import Source
from tasks.destinations.rehearsal.fake import Fake, Reply, demand, route, serve
from tasks.intake.sources import bigquery, pull
from tasks.intake.sources.pull import read_progress
from tasks.intake.sources.wire import Patience
from tests.intake.sources_stand_ins import stamp

pytest.importorskip("google.cloud.bigquery")
API = "/bigquery/v2/projects/shop"
NOW = stamp(100)


def refused(status, reason):
    return Reply(status, {"error": {"code": status, "message": reason, "errors": [{"reason": reason}]}})


class Warehouse(Fake):
    """Jobs of 25 orders; an id is taken once. ``fate`` is why the next ones fail, ``kept`` the results there are."""

    slug, secret = "bigquery", "token"

    def __init__(self, weather=None):
        super().__init__(weather)
        self.jobs, self.kept, self.fate, self.refusal = {}, set(), "", ""

    def authorise(self, request):
        return None if request.headers["authorization"] == "Bearer token" else refused(401, "authError")

    @route("POST", f"{API}/jobs")
    def start(self, request, _match):
        if self.refusal:
            return refused(403, self.refusal)
        reference = request.json["jobReference"]
        demand(reference["location"] == "EU", "a job runs where its data lie")
        if (ident := reference["jobId"]) in self.jobs:
            return refused(409, "duplicate")
        place = {"projectId": "shop", "datasetId": "_anon", "tableId": f"r{len(self.jobs)}"}
        job = {**request.json, "status": {"state": "DONE"}, "statistics": {"query": {"statementType": "SELECT"}}}
        job["configuration"]["query"]["destinationTable"] = place
        if self.fate:
            job["status"]["errorResult"] = {"reason": self.fate, "message": self.fate}
        self.jobs[ident] = job
        self.kept.add(place["tableId"])
        return Reply(200, job)

    @route("GET", f"{API}/jobs/([\\w-]+)")
    def job(self, request, match):
        demand(request.query["location"] == "EU", "outside of the US a job is found where it ran")
        return Reply(200, self.jobs[match[1]]) if match[1] in self.jobs else refused(404, "notFound")

    @route("GET", f"{API}/datasets/_anon/tables/(\\w+)")
    def table(self, _request, match):
        place = {"projectId": "shop", "datasetId": "_anon", "tableId": match[1]}
        return Reply(200, {"tableReference": place}) if match[1] in self.kept else refused(404, "notFound")

    @route("GET", f"{API}/queries/([\\w-]+)")
    def results(self, request, match):
        job = self.jobs[match[1]]
        if job["configuration"]["query"]["destinationTable"]["tableId"] not in self.kept:
            return refused(404, "notFound")
        size, begin = int(request.query.get("maxResults", 25)), int(request.query.get("pageToken", 0))
        rows = [{"f": [{"v": f"o-{n}"}]} for n in range(25)][begin : begin + size]
        more = {"pageToken": str(begin + size)} if begin + size < 25 and size else {}
        schema = {"fields": [{"name": "order_id", "type": "STRING"}]}
        told = {"jobReference": job["jobReference"], "jobComplete": True, "totalRows": "25", "schema": schema}
        return Reply(200, {**told, **more, "rows": rows})


@pytest.fixture
def warehouse(monkeypatch):
    monkeypatch.setattr(bigquery, "PAGE", 10)
    with serve(Warehouse()) as fake:
        yield fake
    assert fake.complaints == []


def read(lake, fake):
    options = {"query": "SELECT 1", "project": "shop", "address": fake.address}
    source = Source(name="till", dataset="orders", connector="bigquery", secret="key", options=options)
    return pull.pull(lake, source, NOW, lambda _: SecretStr("token"), Patience(sleep=lambda _: None))


def rows(lake):
    return sorted(len(file.read_text().splitlines()) for file in Path(lake.root, "landing", "till").glob("*.ndjson"))


class KilledError(BaseException):
    """kill -9, as far as a test can go without a process."""


def killed(lake, fake, monkeypatch, pages):
    """A pull that dies when it has landed so many pages; the first one says only which job was begun."""
    real, landed = pull._land, []

    def land(*args):
        if len(landed) == pages:
            raise KilledError
        landed.append(args)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(pull, "_land", land)
        with pytest.raises(KilledError):
            read(lake, fake)


@pytest.mark.parametrize("pages", [0, 1, 2])
def test_a_job_that_was_begun_is_gone_on_with(warehouse, lake, monkeypatch, pages):
    killed(lake, warehouse, monkeypatch, pages)
    assert read(lake, warehouse).problem == ""
    assert (len(warehouse.jobs), rows(lake)) == (1, [5, 10, 10])


@pytest.mark.parametrize("pages", [0, 1, 2])
def test_a_result_that_is_no_longer_kept_is_asked_for_anew(warehouse, lake, monkeypatch, pages):
    killed(lake, warehouse, monkeypatch, pages)
    warehouse.kept.clear()
    assert read(lake, warehouse).problem == ""
    assert len(warehouse.jobs) == 2
    assert rows(lake) == [5, *[10] * (pages // 2), 10, 10]


@pytest.mark.parametrize("fate", ["invalidQuery", "notFound", "accessDenied", "resourcesExceeded"])
def test_a_job_that_failed_is_followed_by_another(warehouse, lake, fate):
    warehouse.fate = fate
    assert read(lake, warehouse).problem
    assert read(lake, warehouse).problem
    warehouse.fate = ""
    assert read(lake, warehouse).problem == ""
    assert (len(warehouse.jobs), rows(lake)) == (3, [5, 10, 10])
    assert read_progress(lake, "till", NOW).read_until == NOW


@pytest.mark.parametrize(("refusal", "told"), [("quotaExceeded", "not answered"), ("accessDenied", "rights")])
def test_a_quota_that_is_used_up_is_no_missing_right(warehouse, lake, refusal, told):
    warehouse.refusal = refusal
    assert told in read(lake, warehouse).problem
