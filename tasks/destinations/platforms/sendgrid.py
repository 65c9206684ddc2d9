"""SendGrid marketing contacts: custom fields by id and one list per list of ours, through upsert jobs.

Contacts of one call share their lists, so customers are grouped by them. Leaving a list takes contact ids, which are
looked up. Suppressions are read and never lifted; nothing is ever scheduled or sent.

Unverified, so handled both ways or stated: columns of the error file (rows are matched by any cell that is an address),
clearing a field (null is sent), the form of date values (ISO), ids per removal (100 at a time).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from tasks.destinations.platform import (
    Account, Address, Answer, Change, Key, Kind, Known, Limits, Member, OptOut, Part, Person, Platform, Receipt,
    Session, Target, Thing, Token, all_but, bearer, by_link, by_offset, chunks, csv_lines, fields_and_lists, finished,
    no_address, no_lists,
)  # fmt: skip
from tasks.errors import RejectedError, TransientError

API = "/v3/marketing"
TYPES = {Kind.NUMBER: "Number", Kind.INTEGER: "Number", Kind.DATE: "Date", Kind.INSTANT: "Date"}
SUPPRESSIONS = {"unsubscribes": "unsubscribe", "spam_reports": "spam", "bounces": "bounce", "invalid_emails": "invalid"}
list_name = "RS {}".format  # of a list of ours, by which campaigns find it
ENDED = {"completed", "errored", "failed"}
FOUND_ROWS, PAGE = 100, 500


class SendGridAccount(Account):
    """An API key with marketing, suppression read and data erasure; ``subuser`` to act for one."""

    token: SecretStr
    base: Address = "https://api.sendgrid.com"
    subuser: str = ""


def headers(account: SendGridAccount, token: Token | None) -> Mapping[str, str]:
    """The key, and on whose behalf."""
    behalf = {"on-behalf-of": account.subuser} if account.subuser else {}
    return bearer({"Accept": "application/json", **behalf})(account, token)


def shape(member: Member, target: Target) -> Part:
    """One contact by address; values are keyed by the fields' ids."""
    values = {target.native("field", name): value for name, value in no_lists(member.values).items()}
    return Part(member, {"email": member.key, "custom_fields": values}, (member.lists, member.leaves))


def push(session: Session, target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """Upsert the batch into its lists, wait for the job, then take it off the lists it has left."""
    first, keys = parts[0].member, [part.member.key for part in parts]
    lists = [target.native("list", list_name(name)) for name in first.lists]
    body: dict[str, Any] = {"contacts": [part.body for part in parts]} | ({"list_ids": lists} if lists else {})
    if first.change is Change.LEAVE:
        there = _contact_ids(session, keys)
        body["contacts"] = [part.body for part in parts if part.member.key in there]
    failed: dict[str, tuple[str, str]] = {}
    if body["contacts"]:
        job = session.call("PUT", f"{API}/contacts", json=body).json()["job_id"]
        failed = dict.fromkeys(_failed(session, job, keys), ("job_error", "SendGrid could not store this contact"))
    _leave(session, target, first.leaves, [key for key in keys if key not in failed])
    yield from all_but(parts, failed)


def _failed(session: Session, job: str, emails: Sequence[str]) -> set[str]:
    """Whom the job could not store; its file of errors lies elsewhere and must not see our key."""
    path = f"{API}/contacts/imports/{job}"
    state = finished(session, lambda: session.call("GET", path).json(), what=f"job {job}", good=ENDED)
    results = state.get("results") or {}
    if state["status"] == "failed" and not results.get("errors_url"):
        raise RejectedError(f"SendGrid: job {job} failed as a whole")
    if not results.get("errored_count") and state["status"] == "completed":
        return set()
    lines = csv_lines(session.call("GET", results["errors_url"], authorized=False).text)
    failed = {cell.strip().lower() for line in lines for cell in line}.intersection(emails)
    if not failed:
        raise RejectedError("SendGrid: the job has errors, and its error file names nobody of this batch")
    return failed


def _leave(session: Session, target: Target, lists: Sequence[str], emails: Sequence[str]) -> None:
    ids = sorted(_contact_ids(session, emails if lists else ()).values())
    for ident in filter(None, (target.known.get(("list", list_name(name))) for name in lists)):
        for some in chunks(ids, FOUND_ROWS):
            asked = {"contact_ids": ",".join(some)}
            if not session.call("DELETE", f"{API}/lists/{ident}/contacts", params=asked).json()["job_id"]:
                raise TransientError("SendGrid: a removal from a list was not queued")


def _contact_ids(session: Session, emails: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in chunks(emails, FOUND_ROWS):
        answer = session.call("POST", f"{API}/contacts/search/emails", json={"emails": some}, accept=[404])
        if answer.is_success:
            results = answer.json()["result"].items()
            found |= {email.lower(): one["contact"]["id"] for email, one in results if "contact" in one}
    return found


def known(session: Session, _target: Target) -> Known:
    """Custom fields by name (they are unique whatever the case) and lists by name."""
    fields = session.call("GET", f"{API}/field_definitions").json().get("custom_fields") or []
    found = {("field", one["name"]): str(one["id"]) for one in fields}
    lists = by_link(session, f"{API}/lists", "result", "_metadata/next", {"page_size": 1000})
    return found | {("list", one["name"]): str(one["id"]) for one in lists}


def create(session: Session, _target: Target, thing: Thing) -> str:
    """A custom field or an empty list."""
    if thing.kind == "list":
        return str(session.call("POST", f"{API}/lists", json={"name": thing.name}).json()["id"])
    body = {"name": thing.name, "field_type": TYPES.get(thing.type or Kind.TEXT, "Text")}
    return str(session.call("POST", f"{API}/field_definitions", json=body).json()["id"])


def check(session: Session, _target: Target) -> str:
    """How many things the key may do."""
    return f"key with {len(session.call('GET', '/v3/scopes').json()['scopes'])} scopes"


def opt_outs(session: Session, _target: Target, since: datetime | None, _people: Iterable[Person]) -> Iterable[OptOut]:
    """Global unsubscribes, spam reports, bounces and invalid addresses since then."""
    start = {"start_time": int(since.timestamp())} if since else {}
    for name, reason in SUPPRESSIONS.items():
        page = {"limit": PAGE, "offset": 0, **start}
        for one in by_offset(session, f"/v3/suppression/{name}", page, PAGE):
            yield OptOut(Key.EMAIL, one["email"], reason, at=datetime.fromtimestamp(one["created"], UTC))


def erase(session: Session, _target: Target, people: Sequence[Person]) -> Iterable[Receipt]:
    """Erase the addresses' personal data and delete the contacts; suppressions stay."""
    emails = {person.email.lower(): person for person in people if person.email}
    for some in chunks(emails, 5_000):
        job = session.call("POST", "/v3/recipients/erasejob", json={"email_addresses": some}).json()["job_id"]
        for ids in chunks(_contact_ids(session, some).values(), FOUND_ROWS):
            session.call("DELETE", f"{API}/contacts", params={"ids": ",".join(ids)})
        yield from (Receipt(emails[email].customer_id, done=True, reference=str(job)) for email in some)
    yield from (no_address(person) for person in people if not person.email)


PLATFORM = Platform(
    slug="sendgrid", title="SendGrid", api_version="v3", keys=(Key.EMAIL,), account=SendGridAccount,
    docs="https://www.twilio.com/docs/sendgrid/api-reference/contacts/add-or-update-a-contact",
    limits=Limits(rows=30_000, bytes=5_900_000, per_second=5.0),
    headers=headers,
    shape=shape, push=push, check=check, known=known, create=create, opt_outs=opt_outs, erase=erase,
    wants=fields_and_lists(list_name), uses_lists=True, splits_by_lists=True,
)  # fmt: skip
