"""A stand-in for SendGrid's contacts, lists, custom fields, suppressions and erasure."""
# ruff: noqa: PLR2004 - the numbers are the vendor's limits, said where they are demanded

import re
from typing import Any

from tasks.destinations.rehearsal.fake import SOME_TIME, Fake, Reply, Request, demand, route

API = "/v3/marketing"


class SendGrid(Fake):
    """Values are keyed by field id, jobs take two looks, errors lie in a file that must not see the key."""

    slug = "sendgrid"
    secret = "SG.rehearsal"  # noqa: S105 - opens nothing

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.contacts: dict[str, dict[str, Any]] = {}
        self.fields: dict[str, str] = {}
        self.lists: dict[str, str] = {}
        self.jobs: list[dict[str, Any]] = []
        self.unsubscribed: list[str] = []

    def people(self) -> dict[str, dict[str, Any]]:
        found = {}
        for email, contact in self.contacts.items():
            values = {self.fields[i]: v for i, v in contact["custom_fields"].items() if v is not None}
            found[email] = values | {"lists": {self.lists[i].removeprefix("RS ") for i in contact["lists"]}}
        return found

    def opt_out(self, email: str) -> None:
        self.unsubscribed.append(email)

    def authorise(self, request: Request) -> Reply | None:
        if request.path.startswith("/errors/"):
            demand("authorization" not in request.headers, "the error file must not see the key")
            return None
        if request.headers.get("authorization") != f"Bearer {self.secret}":
            return Reply(401, {"errors": [{"message": "The provided authorization grant is invalid", "field": None}]})
        demand(request.headers.get("accept") == "application/json", "accept is missing")
        return None

    @route("GET", "/v3/scopes")
    def scopes(self, _request: Request, _match: re.Match[str]) -> Reply:
        return Reply(200, {"scopes": ["marketing.read", "marketing.update"]})

    @route("GET", f"{API}/field_definitions")
    def list_fields(self, _request: Request, _match: re.Match[str]) -> Reply:
        own = [{"id": ident, "name": name, "field_type": "Text"} for ident, name in self.fields.items()]
        return Reply(200, {"custom_fields": own, "reserved_fields": []})

    @route("POST", f"{API}/field_definitions")
    def create_field(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        demand(body["field_type"] in {"Text", "Number", "Date"}, "no such field type")
        demand(re.fullmatch(r"[A-Za-z_]\w{0,99}", body["name"]), "no such name")
        if body["name"].lower() in {name.lower() for name in self.fields.values()}:
            return Reply(400, {"errors": [{"message": "field name already exists", "field": "name"}]})
        ident = f"e{len(self.fields) + 1}_{body['field_type'][0]}"
        self.fields[ident] = body["name"]
        return Reply(200, {"id": ident, **body})

    @route("GET", f"{API}/lists")
    def list_lists(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(request.query["page_size"] == "1000", "ask for full pages")
        items = [{"id": ident, "name": name} for ident, name in self.lists.items()]
        start = int(request.query.get("page_token", "0"))
        following = f"{self.address}{API}/lists?page_size=1000&page_token={start + 2}"
        more = {"next": following} if start + 2 < len(items) else {}
        return Reply(200, {"result": items[start : start + 2], "_metadata": {"count": len(items), **more}})

    @route("POST", f"{API}/lists")
    def create_list(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(request.json["name"] not in self.lists.values(), "a list of this name exists")
        ident = f"ca7a3796-0000-4000-8000-{len(self.lists):012d}"
        self.lists[ident] = request.json["name"]
        return Reply(201, {"id": ident, "name": request.json["name"], "contact_count": 0})

    @route("PUT", f"{API}/contacts")
    def upsert(self, request: Request, _match: re.Match[str]) -> Reply:
        body = request.json
        demand(0 < len(body["contacts"]) <= 30_000 and len(request.body) <= 6_000_000, "too many contacts or bytes")
        demand(set(body.get("list_ids", [])) <= set(self.lists), "unknown list")
        failed = []
        for one in body["contacts"]:
            demand(set(one) == {"email", "custom_fields"}, "a contact has one identifier")
            demand(set(one["custom_fields"]) <= set(self.fields), "invalid custom field ids supplied")
            if one["email"].endswith("@invalid"):
                failed.append(one["email"])
                continue
            contact = self.contacts.setdefault(
                one["email"].lower(), {"id": f"c{len(self.contacts)}", "custom_fields": {}, "lists": set()}
            )
            contact["custom_fields"].update(one["custom_fields"])
            contact["lists"] |= set(body.get("list_ids", []))
        self.jobs.append({"failed": failed, "total": len(body["contacts"]), "looks": 0})
        return Reply(202, {"job_id": f"job{len(self.jobs) - 1}"})

    @route("GET", rf"{API}/contacts/imports/job(\d+)")
    def look(self, _request: Request, match: re.Match[str]) -> Reply:
        job = self.jobs[int(match[1])]
        job["looks"] += 1
        results: dict[str, Any] = {"requested_count": job["total"], "errored_count": len(job["failed"])}
        if job["failed"]:
            results["errors_url"] = f"{self.address}/errors/{match[1]}?signature=secret"
        done = "errored" if job["failed"] else "completed"
        return Reply(200, {"id": match[0], "status": done if job["looks"] > 1 else "pending", "results": results})

    @route("GET", r"/errors/(\d+)")
    def errors(self, _request: Request, match: re.Match[str]) -> Reply:
        lines = ["email,error", *(f"{email},invalid" for email in self.jobs[int(match[1])]["failed"])]
        return Reply(200, "\n".join(lines).encode(), {"Content-Type": "text/csv"})

    @route("POST", f"{API}/contacts/search/emails")
    def search(self, request: Request, _match: re.Match[str]) -> Reply:
        emails = request.json["emails"]
        demand(0 < len(emails) <= 100, "one to a hundred addresses")
        found = {e: {"contact": _contact(self.contacts[e])} for e in emails if e in self.contacts}
        if not found:
            return Reply(404, {"errors": [{"message": "contact not found"}]})
        return Reply(200, {"result": {e: found.get(e, {"error": "contact not found"}) for e in emails}})

    @route("DELETE", rf"{API}/lists/([\w-]+)/contacts")
    def leave(self, request: Request, match: re.Match[str]) -> Reply:
        ids = set(request.query["contact_ids"].split(","))
        for contact in self.contacts.values():
            if contact["id"] in ids:
                contact["lists"].discard(match[1])
        return Reply(202, {"job_id": "removal"})

    @route("DELETE", f"{API}/contacts")
    def delete(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(set(request.query) == {"ids"}, "never everybody")
        ids = set(request.query["ids"].split(","))
        self.contacts = {e: c for e, c in self.contacts.items() if c["id"] not in ids}
        return Reply(202, {"job_id": "deletion"})

    @route("POST", "/v3/recipients/erasejob")
    def erase(self, request: Request, _match: re.Match[str]) -> Reply:
        demand(0 < len(request.json["email_addresses"]) <= 5_000, "one to 5000 addresses")
        return Reply(202, {"job_id": "erasure"})

    @route("GET", r"/v3/suppression/(unsubscribes|spam_reports|bounces|invalid_emails)")
    def suppressions(self, request: Request, match: re.Match[str]) -> Reply:
        demand(int(request.query["limit"]) <= 500, "at most 500 a page")
        found = self.unsubscribed if match[1] == "unsubscribes" else []
        offset = int(request.query["offset"])
        return Reply(200, [{"email": e, "created": 1443651141} for e in found[offset : offset + 500]])


def _contact(known: dict[str, Any]) -> dict[str, Any]:
    lists = sorted(known["lists"])
    times = {"created_at": SOME_TIME, "updated_at": SOME_TIME}
    return {"id": known["id"], "list_ids": lists, "segment_ids": [], "custom_fields": known["custom_fields"], **times}
