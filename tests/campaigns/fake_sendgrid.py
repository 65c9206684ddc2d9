"""SendGrid on loopback for tests: keeps state, refuses what it was not told, and misbehaves when asked to."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid5

API_KEY = "SG.a-key-for-tests"
SPACE = UUID("00000000-0000-0000-0000-000000000000")
RESERVED = {"email", "first_name", "last_name", "city", "country"}
SOME_TIME = "2017-11-15T08:00:00Z"
SENDER = {
    "nickname": "Shop", "from": {"email": "shop@example.com", "name": "Harbour & Sons"},
    "reply_to": {"email": "help@example.com"}, "address": "1 Quay", "city": "Bristol", "country": "United Kingdom",
    "verified": True, "locked": False, "created_at": 1443651141, "updated_at": 1443651141,
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


@dataclass
class Fault:
    """An answer given instead of the real one, ``times`` times, to requests that match."""

    method: str
    path: str
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    after: bool = False  # do the work first, then fail: the caller cannot know


class RefusedError(Exception):
    """The request is not one SendGrid takes."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(str(body))
        self.status, self.body = status, body


@dataclass
class FakeSendGrid:
    """State of the account, and what was asked of it."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    lists: dict[str, dict[str, Any]] = field(default_factory=dict)
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    designs: dict[str, dict[str, Any]] = field(default_factory=dict)
    singlesends: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    senders: dict[int, dict[str, Any]] = field(default_factory=lambda: {1: {"id": 1, **SENDER}})
    groups: dict[int, list[str]] = field(default_factory=lambda: {103: []})
    suppressions: dict[str, list[str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # address → why its row is in error
    error_file: bool = True
    polls_needed: int = 0
    faults: list[Fault] = field(default_factory=list)
    fields_without_id: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def written(self) -> list[str]:
        """Requests that change something, as 'METHOD path'."""
        reading = re.compile(r"/v3/marketing/(singlesends/search|contacts/search/emails)")
        return [f"{r.method} {r.path}" for r in self.requests
                if r.method != "GET" and not reading.fullmatch(r.path)]  # fmt: skip

    def on_list(self, name: str) -> dict[str, dict[str, Any]]:
        """Contacts of a list by address."""
        ids = {one["id"] for one in self.lists.values() if one["name"] == name}
        return {email: c for email, c in self.contacts.items() if ids & set(c["list_ids"])}

    def draft(self, name: str) -> dict[str, Any]:
        """The one Single Send of a name."""
        [found] = [one for one in self.singlesends.values() if one["name"] == name]
        return found

    def values(self, email: str) -> dict[str, str]:
        """Custom fields of a contact by name."""
        names = {f["id"]: f["name"] for f in self.fields.values()}
        return {names[key]: value for key, value in self.contacts[email]["custom_fields"].items()}

    def answer(self, request: Request) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers for one request."""
        with self.lock:
            self.requests.append(request)
            if request.path.startswith("/errors/"):
                if "authorization" in request.headers:
                    return 400, {"message": "no key belongs here"}, {}
                return 200, self.files[request.path], {}
            for fault in self.faults:
                if fault.times and fault.method == request.method and re.fullmatch(fault.path, request.path):
                    fault.times -= 1
                    if fault.after:
                        self._work(request)
                    return fault.status, fault.body, fault.headers
            return self._work(request)

    def _work(self, request: Request) -> tuple[int, Any, dict[str, str]]:
        try:
            _check_headers(request)
            for method, pattern, handler in ROUTES:
                if method == request.method and (found := re.fullmatch(pattern, request.path)):
                    status, body = handler(self, request, *found.groups())
                    return status, body, {}
        except RefusedError as refusal:
            return refusal.status, refusal.body, {}
        return 404, {"errors": [{"message": f"no route {request.method} {request.path}"}]}, {}

    def new_id(self, kind: str, count: int) -> str:
        """A UUID that is the same in every run."""
        return str(uuid5(SPACE, f"{kind}-{count}"))


def _check_headers(request: Request) -> None:
    if request.headers.get("authorization") != f"Bearer {API_KEY}":
        raise RefusedError(401, {"errors": [{"message": "authorization required", "field": None}]})
    if request.headers.get("accept") != "application/json":
        raise RefusedError(406, {"errors": [{"message": "not acceptable"}]})
    if request.body is not None and request.headers.get("content-type") != "application/json":
        raise RefusedError(415, {"errors": [{"message": "Content-Type should be application/json."}]})


def _bad(message: str, name: str = "") -> RefusedError:
    return RefusedError(400, {"errors": [{"message": message, "field": name}]})


def _only(body: Any, required: set[str], optional: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    if not isinstance(body, dict) or not required <= set(body) <= required | optional:
        raise _bad(f"expected {sorted(required)}, optional {sorted(optional)}, got {sorted(body or {})}")


def _query(request: Request, allowed: set[str]) -> None:
    if stray := set(request.query) - allowed:
        raise _bad(f"unknown query {stray}")


def _page(self: FakeSendGrid, request: Request, rows: list[Any]) -> tuple[int, Any]:
    _query(request, {"page_size", "page_token"})
    size = int(request.query.get("page_size", ["100"])[0])
    start = int(request.query.get("page_token", ["0"])[0])
    metadata: dict[str, Any] = {"count": len(rows), "self": f"{self.url}{request.path}"}
    if start + size < len(rows):
        metadata["next"] = f"{self.url}{request.path}?page_size={size}&page_token={start + size}"
    return 200, {"result": rows[start : start + size], "_metadata": metadata}


def _get_fields(self: FakeSendGrid, _request: Request) -> tuple[int, Any]:
    return 200, {"custom_fields": list(self.fields.values()), "reserved_fields": []}


def _post_field(self: FakeSendGrid, request: Request) -> tuple[int, Any]:
    _only(request.body, {"name", "field_type"})
    name = request.body["name"]
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name) or name.lower() in RESERVED:
        raise _bad("invalid name", "name")
    if request.body["field_type"] not in ("Text", "Number", "Date"):
        raise _bad("invalid type", "field_type")
    if name.lower() in (f["name"].lower() for f in self.fields.values()):
        raise _bad("field definition already exists", "name")
    made = {"name": name, "field_type": request.body["field_type"]}
    if not self.fields_without_id:
        made["id"] = f"e{len(self.fields) + 1}_T"
        self.fields[made["id"]] = made
    return 200, made


def _get_lists(self: FakeSendGrid, request: Request) -> tuple[int, Any]:
    return _page(self, request, list(self.lists.values()))


def _post_list(self: FakeSendGrid, request: Request) -> tuple[int, Any]:
    _only(request.body, {"name"})
    if not 1 <= len(request.body["name"]) <= 100:
        raise _bad("invalid name", "name")
    made = {"id": self.new_id("list", len(self.lists)), "name": request.body["name"], "contact_count": 0}
    self.lists[made["id"]] = made
    return 201, made


def _put_contacts(self: FakeSendGrid, request: Request) -> tuple[int, Any]:
    _only(request.body, {"contacts"}, {"list_ids"})
    contacts, list_ids = request.body["contacts"], request.body.get("list_ids", [])
    if not 1 <= len(contacts) <= 30_000 or len(json.dumps(request.body)) > 6_000_000:
        raise _bad("too many contacts or bytes", "contacts")
    if any(one not in self.lists for one in list_ids):
        raise _bad("list not found", "list_ids")
    unknown = sorted({key for c in contacts for key in c.get("custom_fields", {})} - set(self.fields))
    if unknown:
        raise _bad(f"invalid custom field ids supplied - {','.join(unknown)}", "custom_fields")
    errors = []
    for contact in contacts:
        _only(contact, {"email"}, {"custom_fields", "first_name", "last_name"})
        email = contact["email"].lower()
        if email in self.refused:
            errors.append((email, self.refused[email]))
            continue
        if any(not isinstance(v, str) or not v for v in contact.get("custom_fields", {}).values()):
            raise _bad("blank value", "custom_fields")
        new = {"id": self.new_id("contact", len(self.contacts)), "list_ids": [], "segment_ids": [],
               "custom_fields": {}, "created_at": SOME_TIME, "updated_at": SOME_TIME}  # fmt: skip
        known = self.contacts.setdefault(email, new)
        known["custom_fields"] |= contact.get("custom_fields", {})
        known["list_ids"] = sorted({*known["list_ids"], *list_ids})
    return 202, {"job_id": _job(self, "upsert", len(contacts), errors)}


def _job(self: FakeSendGrid, kind: str, count: int, errors: list[tuple[str, str]]) -> str:
    job_id = self.new_id("job", len(self.jobs))
    status = "completed" if not errors else "failed" if len(errors) == count else "errored"
    results: dict[str, Any] = {"requested_count": count, "errored_count": len(errors)}
    if errors and self.error_file:
        path = f"/errors/{job_id}.csv"
        self.files[path] = "email,error\n" + "".join(f'{email.upper()},"{why}"\n' for email, why in errors)
        results["errors_url"] = f"{self.url}{path}"
    self.jobs[job_id] = {"id": job_id, "status": status, "job_type": kind, "results": results,
                         "polls": self.polls_needed}  # fmt: skip
    return job_id


def _get_job(self: FakeSendGrid, _request: Request, job_id: str) -> tuple[int, Any]:
    job = self.jobs.get(job_id)
    if job is None:
        raise RefusedError(404, {"errors": {"message": "not found"}})
    if job["polls"]:
        job["polls"] -= 1
        return 200, {"id": job_id, "status": "pending", "job_type": job["job_type"], "results": {}}
    return 200, {key: value for key, value in job.items() if key != "polls"}


def _search_emails(self: FakeSendGrid, request: Request) -> tuple[int, Any]:
    _only(request.body, {"emails"})
    emails = request.body["emails"]
    if not 1 <= len(emails) <= 100:
        raise _bad("1 to 100 emails", "emails")
    result = {}
    for email in emails:
        contact = self.contacts.get(email.lower())
        result[email] = {"contact": {**contact, "email": email}} if contact else {"error": "contact not found"}
    if all("error" in entry for entry in result.values()):
        raise RefusedError(404, {"errors": [{"message": "no contacts found"}]})
    return 200, {"result": result}


def _delete_members(self: FakeSendGrid, request: Request, list_id: str) -> tuple[int, Any]:
    _query(request, {"contact_ids"})
    ids = request.query["contact_ids"][0].split(",")
    if list_id not in self.lists or len(ids) > 100:
        raise _bad("bad list or too many ids")
    for contact in self.contacts.values():
        if contact["id"] in ids:
            contact["list_ids"] = [one for one in contact["list_ids"] if one != list_id]
    return 202, {"job_id": _job(self, "delete", len(ids), [])}


_DESIGN = {"name", "subject", "html_content", "plain_content"}


def _get_designs(self: FakeSendGrid, request: Request) -> tuple[int, Any]:
    return _page(self, request, [{"id": d["id"], "name": d["name"]} for d in self.designs.values()])


def _get_design(self: FakeSendGrid, _request: Request, design_id: str) -> tuple[int, Any]:
    if design_id not in self.designs:
        raise RefusedError(404, {"errors": [{"message": "not found"}]})
    return 200, self.designs[design_id]


def _post_design(self: FakeSendGrid, request: Request) -> tuple[int, Any]:
    _only(request.body, _DESIGN | {"editor"})
    _check_html(request.body)
    made = {"id": self.new_id("design", len(self.designs)), **request.body}
    self.designs[made["id"]] = made
    return 201, made


def _patch_design(self: FakeSendGrid, request: Request, design_id: str) -> tuple[int, Any]:
    _only(request.body, _DESIGN | {"generate_plain_content"})
    _check_html(request.body)
    _get_design(self, request, design_id)
    self.designs[design_id] |= request.body
    return 200, self.designs[design_id]


def _check_html(body: dict[str, Any]) -> None:
    if len(body["html_content"]) > 1_048_576 or "{{{unsubscribe}}}" not in body["html_content"]:
        raise _bad("html_content")


def _search_singlesends(self: FakeSendGrid, request: Request) -> tuple[int, Any]:
    _only(request.body, set(), {"name", "status", "categories"})
    named = [one for one in self.singlesends.values() if request.body.get("name", "") in one["name"]]
    short = ("id", "name", "status", "categories", "created_at", "updated_at")
    return _page(self, request, [{**{key: one[key] for key in short}, "is_abtest": False, "abtest": None}
                                 for one in named])  # fmt: skip


def _single_send(self: FakeSendGrid, body: Any) -> dict[str, Any]:
    _only(body, {"name", "categories", "send_to", "email_config"})
    config, send_to = body["email_config"], body["send_to"]
    _only(config, {"design_id", "suppression_group_id", "sender_id"})
    _only(send_to, {"list_ids", "segment_ids", "all"})
    if not 1 <= len(body["name"]) <= 100 or len(body["categories"]) > 10:
        raise _bad("name or categories")
    if config["design_id"] not in self.designs or config["sender_id"] not in self.senders:
        raise _bad("unknown design or sender")
    if config["suppression_group_id"] not in self.groups or any(one not in self.lists for one in send_to["list_ids"]):
        raise _bad("unknown group or list")
    design = self.designs[config["design_id"]]
    shown = {part: design[part] for part in ("subject", "html_content", "plain_content")}
    return {**body, "email_config": {**config, **shown, "editor": "code", "custom_unsubscribe_url": None}}


def _post_singlesend(self: FakeSendGrid, request: Request) -> tuple[int, Any]:
    number = len(self.singlesends)
    made = {**_single_send(self, request.body), "id": self.new_id("singlesend", number), "status": "draft",
            "send_at": None, "created_at": f"2017-11-15T08:{number:02d}:00Z",
            "updated_at": SOME_TIME}  # fmt: skip
    self.singlesends[made["id"]] = made
    return 201, made


def _get_singlesend(self: FakeSendGrid, _request: Request, one: str) -> tuple[int, Any]:
    if one not in self.singlesends:
        raise RefusedError(404, {"errors": [{"message": "not found"}]})
    return 200, self.singlesends[one]


def _patch_singlesend(self: FakeSendGrid, request: Request, one: str) -> tuple[int, Any]:
    _get_singlesend(self, request, one)
    if self.singlesends[one]["status"] != "draft":
        raise _bad("only drafts can be changed")
    self.singlesends[one] |= _single_send(self, request.body)
    return 202, self.singlesends[one]


def _get_sender(self: FakeSendGrid, _request: Request, number: str) -> tuple[int, Any]:
    if int(number) not in self.senders:
        raise RefusedError(404, {"errors": [{"message": "resource not found"}]})
    return 200, self.senders[int(number)]


def _get_group(self: FakeSendGrid, _request: Request, number: str) -> tuple[int, Any]:
    if int(number) not in self.groups:
        raise RefusedError(404, {"errors": [{"message": "resource not found"}]})
    return 200, {"id": int(number), "name": "Offers", "unsubscribes": len(self.groups[int(number)])}


def _get_group_suppressions(self: FakeSendGrid, _request: Request, number: str) -> tuple[int, Any]:
    return 200, self.groups[int(number)]


def _get_suppressions(self: FakeSendGrid, request: Request, kind: str) -> tuple[int, Any]:
    _query(request, {"limit", "offset"})
    limit, offset = int(request.query["limit"][0]), int(request.query["offset"][0])
    if limit > 500:
        raise _bad("limit")
    rows = self.suppressions.get(kind, [])[offset : offset + limit]
    return 200, [{"created": 1443651141, "email": email} for email in rows]


_ID = r"([A-Za-z0-9_-]+)"
Handler = Callable[..., tuple[int, Any]]
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v3/marketing/field_definitions", _get_fields),
    ("POST", "/v3/marketing/field_definitions", _post_field),
    ("GET", "/v3/marketing/lists", _get_lists),
    ("POST", "/v3/marketing/lists", _post_list),
    ("PUT", "/v3/marketing/contacts", _put_contacts),
    ("GET", f"/v3/marketing/contacts/imports/{_ID}", _get_job),
    ("POST", "/v3/marketing/contacts/search/emails", _search_emails),
    ("DELETE", f"/v3/marketing/lists/{_ID}/contacts", _delete_members),
    ("GET", "/v3/designs", _get_designs),
    ("POST", "/v3/designs", _post_design),
    ("GET", f"/v3/designs/{_ID}", _get_design),
    ("PATCH", f"/v3/designs/{_ID}", _patch_design),
    ("POST", "/v3/marketing/singlesends/search", _search_singlesends),
    ("POST", "/v3/marketing/singlesends", _post_singlesend),
    ("GET", f"/v3/marketing/singlesends/{_ID}", _get_singlesend),
    ("PATCH", f"/v3/marketing/singlesends/{_ID}", _patch_singlesend),
    ("GET", f"/v3/marketing/senders/{_ID}", _get_sender),
    ("GET", f"/v3/asm/groups/{_ID}", _get_group),
    ("GET", f"/v3/asm/groups/{_ID}/suppressions", _get_group_suppressions),
    ("GET", "/v3/suppression/(unsubscribes|bounces|spam_reports|invalid_emails)", _get_suppressions),
)


@contextmanager
def serve() -> Iterator[FakeSendGrid]:
    """A running fake on a free loopback port."""
    fake = FakeSendGrid()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length) if length else b""
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(raw) if raw else None
            status, answer, extra = fake.answer(Request(self.command, parts.path, parse_qs(parts.query), headers, body))
            text = answer if isinstance(answer, str) else json.dumps(answer)
            content = b"" if answer is None else text.encode()
            if status == 0:  # cut the line without an answer
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **extra}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the names http.server looks for

        def log_message(self, *_args: Any) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
