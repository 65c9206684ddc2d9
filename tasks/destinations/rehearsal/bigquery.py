"""A stand-in for BigQuery's REST API: datasets, tables, loads of JSON lines, MERGE and DELETE run by DuckDB."""

import re
from typing import Any

import duckdb
import orjson

from tasks.destinations.rehearsal.fake import Fake, Reply, Request, demand, route

API = "/bigquery/v2/projects/shop"
TYPES = {
    "STRING": "VARCHAR",
    "FLOAT64": "DOUBLE",
    "FLOAT": "DOUBLE",
    "INT64": "BIGINT",
    "INTEGER": "BIGINT",
    "BOOL": "BOOLEAN",
}
TYPES |= {"BOOLEAN": "BOOLEAN", "DATE": "DATE", "TIMESTAMP": "TIMESTAMP"}
TABLE = "shop.segmentation.customer_segments"


class BigQuery(Fake):
    """Tables must exist before they are merged into; a load replaces its stage."""

    slug = "bigquery"
    secret = "rehearsal-token"  # noqa: S105 - opens nothing

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.datasets: set[str] = set()
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.db = duckdb.connect()
        self.db.execute("SET threads = 1")

    def settings(self) -> dict[str, str]:
        return {"base": self.address, "project": "shop", "job_seconds": "1"}

    def people(self) -> dict[str, dict[str, Any]]:
        if TABLE not in self.tables:
            return {}
        found = self.db.sql(f'SELECT * FROM "{TABLE}"').to_arrow_table().to_pylist()
        hidden = {"customer_id", "run_id"}
        return {
            r["customer_id"]: {k: v for k, v in r.items() if v not in (None, []) and k not in hidden} for r in found
        }

    def authorise(self, request: Request) -> Reply | None:
        if request.headers.get("authorization") != f"Bearer {self.secret}":
            return _error(401, "Request had invalid authentication credentials", "UNAUTHENTICATED")
        return None

    @route("GET", f"{API}/datasets")
    def list_datasets(self, _request: Request, _match: re.Match[str]) -> Reply:
        return Reply(200, {"datasets": []})

    @route("GET", f"{API}/datasets/(\\w+)")
    def get_dataset(self, _request: Request, match: re.Match[str]) -> Reply:
        if match[1] not in self.datasets:
            return _error(404, f"Not found: Dataset shop:{match[1]}", "NOT_FOUND")
        return Reply(200, {"datasetReference": {"projectId": "shop", "datasetId": match[1]}, "location": "EU"})

    @route("POST", f"{API}/datasets")
    def create_dataset(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(request.json["location"] == "EU", "a dataset lies somewhere")
        name = request.json["datasetReference"]["datasetId"]
        if name in self.datasets:
            return _error(409, f"Already Exists: Dataset shop:{name}", "ALREADY_EXISTS")
        self.datasets.add(name)
        return Reply(200, request.json)

    @route("GET", f"{API}/datasets/(\\w+)/tables/(\\w+)")
    def get_table(self, _request: Request, match: re.Match[str]) -> Reply:
        name = f"shop.{match[1]}.{match[2]}"
        if name not in self.tables:
            return _error(404, f"Not found: Table {name}", "NOT_FOUND")
        return Reply(200, self._described(match[1], match[2]))

    def _described(self, dataset: str, table: str) -> dict[str, Any]:
        reference = {"projectId": "shop", "datasetId": dataset, "tableId": table}
        return {"tableReference": reference, "schema": {"fields": self.tables[f"shop.{dataset}.{table}"]}}

    @route("POST", f"{API}/datasets/(\\w+)/tables")
    def create_table(self, request: Request, match: re.Match[str]) -> Reply:
        demand(match[1] in self.datasets, "the dataset does not exist")
        table = request.json["tableReference"]["tableId"]
        name = f"shop.{match[1]}.{table}"
        if name in self.tables:
            return _error(409, f"Already Exists: Table {name}", "ALREADY_EXISTS")
        self._make(name, request.json["schema"]["fields"])
        return Reply(200, self._described(match[1], table))

    def _make(self, name: str, fields: list[dict[str, Any]]) -> None:
        self.tables[name] = fields
        columns = ", ".join(f'"{one["name"]}" {_type(one)}' for one in fields)
        self.db.execute(f'CREATE OR REPLACE TABLE "{name}" ({columns})')

    @route("GET", f"{API}/datasets/(\\w+)/tables")
    def list_tables(self, _request: Request, match: re.Match[str]) -> Reply:
        here = [name.split(".") for name in self.tables if name.startswith(f"shop.{match[1]}.")]
        return Reply(200, {"tables": [self._described(dataset, table) for _, dataset, table in here]})

    @route("DELETE", f"{API}/datasets/(\\w+)/tables/(\\w+)")
    def delete_table(self, _request: Request, match: re.Match[str]) -> Reply:
        name = f"shop.{match[1]}.{match[2]}"
        demand("_stage_" in name, "only stages are dropped")
        if self.tables.pop(name, None) is None:
            return _error(404, f"Not found: Table {name}", "NOT_FOUND")
        self.db.execute(f'DROP TABLE "{name}"')
        return Reply(204)

    @route("POST", "/upload/bigquery/v2/projects/shop/jobs")
    def upload(self, request: Request, _match: re.Match[str]) -> Reply:
        if request.query["uploadType"] == "resumable":
            ident = str(len(self.uploads))
            self.uploads[ident] = request.json
            return Reply(200, None, {"Location": f"{self.address}/upload/{ident}"})
        boundary = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
        demand(boundary is not None, "two parts with a boundary")
        pieces = request.body.split(b"--" + (boundary[1] if boundary else "").encode())
        _, _, meta = pieces[1].partition(b"\r\n\r\n")
        _, _, content = pieces[2].partition(b"\r\n\r\n")
        return self._load(orjson.loads(meta), content.removesuffix(b"\r\n"))

    @route("PUT", r"/upload/(\d+)")
    def upload_rest(self, request: Request, match: re.Match[str]) -> Reply:
        return self._load(self.uploads[match[1]], request.body)

    def _load(self, job: dict[str, Any], content: bytes) -> Reply:
        load = job["configuration"]["load"]
        demand(load["sourceFormat"] == "NEWLINE_DELIMITED_JSON", "JSON lines")
        demand(load["writeDisposition"] == "WRITE_TRUNCATE", "a stage is replaced")
        place = load["destinationTable"]
        demand(place["datasetId"] in self.datasets, "the dataset does not exist")
        name = f"shop.{place['datasetId']}.{place['tableId']}"
        fields = load["schema"]["fields"]
        self._make(name, fields)
        names = [one["name"] for one in fields]
        rows = [[line.get(one) for one in names] for line in map(orjson.loads, content.splitlines())]
        demand(all(set(line) <= set(names) for line in map(orjson.loads, content.splitlines())), "unknown column")
        demand(len({row[0] for row in rows}) == len(rows), "a stage is unique by key")
        lists = {one["name"] for one in fields if one.get("mode") == "REPEATED"}
        empty = any(line.get(one, []) is None for line in map(orjson.loads, content.splitlines()) for one in lists)
        demand(not empty, "Only optional fields can be set to NULL")
        self.db.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" for _ in names)})', rows)
        return self._done(job)

    @route("POST", f"{API}/jobs")
    def run(self, request: Request, _match: re.Match[str]) -> Reply:
        query = request.json["configuration"]["query"]
        demand(query["useLegacySql"] is False, "standard SQL")
        sql = query["query"]
        if column := re.fullmatch(r"ALTER TABLE `([\w.]+)` ADD COLUMN IF NOT EXISTS `(\w+)` (ARRAY<)?(\w+)>?", sql):
            self._add_column(column[1], column[2], column[4], "REPEATED" if column[3] else "NULLABLE")
            return self._done(request.json)
        demand(sql.startswith(("MERGE ", "DELETE ")), "only merges, deletions and more columns")
        parameters = query.get("queryParameters") or []
        values = [one["value"] for p in parameters for one in p["parameterValue"]["arrayValues"]]
        sql = (
            sql.replace("MERGE `", "MERGE INTO `")
            .replace("IN UNNEST(@ids)", "IN (SELECT unnest($ids))")
            .replace("`", '"')
        )
        self.db.execute(sql, {"ids": values} if values else None)
        return self._done(request.json)

    def _add_column(self, table: str, name: str, kind: str, mode: str) -> None:
        field = {"name": name, "type": kind, "mode": mode}
        if name not in {one["name"] for one in self.tables[table]}:
            self.tables[table] = [*self.tables[table], field]
            self.db.execute(f'ALTER TABLE "{table}" ADD COLUMN "{name}" {_type(field)}')

    def _done(self, job: dict[str, Any]) -> Reply:
        ident = job["jobReference"]["jobId"]
        self.jobs[ident] = {**job, "status": {"state": "DONE"}, "statistics": {"query": {}, "load": {}}}
        return Reply(200, self.jobs[ident])

    @route("GET", f"{API}/jobs/([\\w-]+)")
    def get_job(self, _request: Request, match: re.Match[str]) -> Reply:
        return Reply(200, self.jobs[match[1]])

    @route("GET", f"{API}/queries/([\\w-]+)")
    def results(self, _request: Request, match: re.Match[str]) -> Reply:
        job = self.jobs[match[1]]
        return Reply(
            200, {"jobReference": job["jobReference"], "jobComplete": True, "totalRows": "0", "schema": {"fields": []}}
        )


def _type(one: dict[str, Any]) -> str:
    return TYPES[one["type"]] + ("[]" if one.get("mode") == "REPEATED" else "")


def _error(status: int, message: str, reason: str) -> Reply:
    return Reply(
        status, {"error": {"code": status, "message": message, "status": reason, "errors": [{"reason": reason}]}}
    )
