"""A stand-in for a Salesforce org: tokens, describe, tooling, collections, SOQL as far as it is used, Bulk API 2.0."""
# ruff: noqa: PLR2004 - the numbers are the vendor's limits, said where they are demanded

import csv
import io
import re
from typing import Any

from tasks.destinations.rehearsal.fake import Fake, Reply, Request, demand, route

DATA = "/services/data/v67.0"
KEY = "rs_customer_id__c"
STANDARD = {"Id", "Email", "FirstName", "LastName", "HasOptedOutOfEmail"}


class Salesforce(Fake):
    """Insists on existing fields, LastName for new contacts, 200 records, and a token that has not run out."""

    slug = "salesforce"
    secret = '{"client_id": "app", "client_secret": "rehearsal-secret"}'  # noqa: S105 - opens nothing
    expiring = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.fields: dict[str, dict[str, Any]] = {}
        self.contacts: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.tokens = 0
        self.made = 0

    def people(self) -> dict[str, dict[str, Any]]:
        hidden = {KEY, "HasOptedOutOfEmail"}
        held = (
            c
            for c in self.contacts.values()
            if c.get(KEY) and any(v for k, v in c.items() if k.endswith("__c") and k != KEY)
        )
        return {c[KEY]: {k: v for k, v in c.items() if v is not None and k not in hidden} for c in held}

    def opt_out(self, email: str) -> None:
        next(c for c in self.contacts.values() if c.get("Email") == email)["HasOptedOutOfEmail"] = True

    def expire(self) -> Reply | None:
        self.tokens += 1
        return Reply(401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}])

    def authorise(self, request: Request) -> Reply | None:
        if request.path == "/services/oauth2/token":
            return None
        if request.headers.get("authorization") != f"Bearer token-{self.tokens}":
            return Reply(401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}])
        return None

    @route("POST", "/services/oauth2/token")
    def token(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(request.form["grant_type"] == "client_credentials", "wrong grant")
        if request.form["client_secret"] != "rehearsal-secret":  # noqa: S105 - opens nothing
            return Reply(401, {"error": "invalid_client", "error_description": "invalid client credentials"})
        return Reply(
            200, {"access_token": f"token-{self.tokens}", "instance_url": self.address, "token_type": "Bearer"}
        )

    @route("GET", f"{DATA}/limits")
    def limits(self, _request: Request, _match: re.Match[str]) -> Reply:
        return Reply(200, {"DailyApiRequests": {"Max": 100_000, "Remaining": 99_000}})

    @route("GET", f"{DATA}/sobjects/Contact/describe")
    def describe(self, _request: Request, _match: re.Match[str]) -> Reply:
        return Reply(200, {"fields": [{"name": name} for name in [*sorted(STANDARD), *self.fields]]})

    @route("POST", f"{DATA}/tooling/sobjects/CustomField")
    def create_field(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        name = body["FullName"].removeprefix("Contact.")
        demand(name.endswith("__c") and body["FullName"].startswith("Contact."), "not a custom field of Contact")
        demand({"label", "type"} <= set(body["Metadata"]), "metadata needs label and type")
        if name in self.fields:
            return Reply(400, [{"errorCode": "DUPLICATE_DEVELOPER_NAME", "message": "exists", "fields": []}])
        self.fields[name] = body["Metadata"]
        return Reply(201, {"id": f"00N{len(self.fields)}", "success": True, "errors": []})

    @route("GET", f"{DATA}/query")
    def query(self, request: Request, _match: re.Match[str]) -> Reply:
        soql = request.query["q"]
        values = {one.replace("\\'", "'") for one in re.findall(r"'((?:[^'\\]|\\.)*)'", soql)}
        column = (re.search(r"(\w+) IN \(", soql) or [None, ""])[1]
        found = []
        for ident, contact in self.contacts.items():
            named = contact.get(column) in values if column else contact.get("HasOptedOutOfEmail")
            free = f"{KEY} = null" not in soql or contact.get(KEY) is None
            if named and free:
                found.append({"Id": ident, **{k: contact.get(k) for k in ("Email", KEY)}})
        return Reply(200, {"totalSize": len(found), "done": True, "records": found})

    @route("PATCH", f"{DATA}/composite/sobjects(?:/Contact/{KEY})?")
    def collection(self, request: Request, _match: re.Match[str]) -> Reply:
        records = request.json["records"]
        demand(request.json["allOrNone"] is False and 0 < len(records) <= 200, "one to 200 records")
        demand(all(one.pop("attributes") == {"type": "Contact"} for one in records), "attributes are missing")
        upsert = request.path.endswith(KEY)
        demand(self.fields.get(KEY, {}).get("externalId") or not upsert, "no external id field")
        return Reply(200, [self._write(one, upsert=upsert) for one in records])

    def _write(self, one: dict[str, Any], *, upsert: bool) -> dict[str, Any]:
        ident = self._by_key(one[KEY]) if upsert else one.pop("id")
        unknown = sorted(set(one) - set(self.fields) - STANDARD)
        demand(not unknown, f"no such column {unknown} on Contact")
        if "invalid" in (one.get("Email") or ""):
            return _failure("INVALID_EMAIL_ADDRESS", "Email: invalid email address: someone@invalid")
        if ident is None and not one.get("LastName"):
            return _failure("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]")
        if ident is not None and ident not in self.contacts:
            return _failure("ENTITY_IS_DELETED", "entity is deleted")
        created = ident is None
        if ident is None:
            self.made += 1
            ident = f"003{self.made:06d}"
        self.contacts.setdefault(ident, {}).update(one)
        return {"id": ident, "success": True, "errors": [], "created": created}

    def _by_key(self, key: str) -> str | None:
        return next((ident for ident, contact in self.contacts.items() if contact.get(KEY) == key), None)

    @route("POST", f"{DATA}/jobs/ingest")
    def open_job(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        demand(body["object"] == "Contact" and body["contentType"] == "CSV" and body["lineEnding"] == "LF", "CSV, LF")
        demand(body["operation"] == "update" or body["externalIdFieldName"] == KEY, "upsert needs the external id")
        job = f"750{len(self.jobs) + 1:06d}"
        self.jobs[job] = {"state": "Open", "operation": body["operation"], "looks": 0}
        return Reply(200, {"id": job, "state": "Open"})

    @route("PUT", rf"{DATA}/jobs/ingest/(\w+)/batches")
    def upload(self, request: Request, match: re.Match[str]) -> Reply:
        demand(request.headers["content-type"] == "text/csv", "content type is text/csv")
        demand(self.jobs[match[1]]["state"] == "Open", "the job is not open")
        self.jobs[match[1]]["rows"] = list(csv.DictReader(io.StringIO(request.body.decode())))
        return Reply(201)

    @route("PATCH", rf"{DATA}/jobs/ingest/(\w+)")
    def close_job(self, request: Request, match: re.Match[str]) -> Reply:
        job = self.jobs[match[1]]
        demand(request.json == {"state": "UploadComplete"} and "rows" in job, "upload first")
        if job["state"] == "Open":
            job["state"], job["done"], job["failed"] = "UploadComplete", [], []
            for row in job["rows"]:
                self._bulk(job, row)
        return Reply(200, {"id": match[1], "state": job["state"]})

    def _bulk(self, job: dict[str, Any], row: dict[str, str]) -> None:
        record: dict[str, Any] = {k: None if v == "#N/A" else v for k, v in row.items() if v != "" and k != "Id"}
        if job["operation"] == "update":
            record["id"] = row["Id"]
        result = self._write(record, upsert=job["operation"] == "upsert")
        if result["success"]:
            job["done"].append({"sf__Id": result["id"], "sf__Created": str(result["created"]).lower(), **row})
        else:
            error = result["errors"][0]
            job["failed"].append({"sf__Id": "", "sf__Error": f"{error['statusCode']}:{error['message']}:--", **row})

    @route("GET", rf"{DATA}/jobs/ingest/(\w+)")
    def look(self, _request: Request, match: re.Match[str]) -> Reply:
        job = self.jobs[match[1]]
        job["looks"] += 1
        return Reply(200, {"id": match[1], "state": "JobComplete" if job["looks"] > 1 else "InProgress"})

    @route("GET", rf"{DATA}/jobs/ingest/(\w+)/(successful|failed)Results/")
    def results(self, _request: Request, match: re.Match[str]) -> Reply:
        rows = self.jobs[match[1]]["done" if match[2] == "successful" else "failed"]
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, list(rows[0]) if rows else ["sf__Id"])
        writer.writeheader()
        writer.writerows(rows)
        return Reply(200, out.getvalue().encode(), {"Content-Type": "text/csv"})

    @route("DELETE", rf"{DATA}/sobjects/Contact/(\w+)")
    def delete(self, _request: Request, match: re.Match[str]) -> Reply:
        return Reply(204) if self.contacts.pop(match[1], None) else Reply(404, [{"errorCode": "NOT_FOUND"}])


def _failure(code: str, message: str) -> dict[str, Any]:
    return {"success": False, "created": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}
