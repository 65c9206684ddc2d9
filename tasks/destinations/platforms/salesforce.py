"""Salesforce contacts: custom fields by external id, in collections of 200, or through Bulk API 2.0 for volume.

Contacts that Salesforce knows by address get our external id once; from then on it alone decides. Leaving is written by
record id, so that nobody who was deleted comes back. Consent fields are read and never written.

Unverified, so configurable or handled both ways: what each org demands of a new contact (its words become the reason of
the reject), field-level security (set ``permission_set`` and new fields are granted to it).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import httpx
from pydantic import SecretStr

from tasks.destinations.platform import (
    Account, Address, Answer, Change, Key, Kind, Known, Limits, Member, OptOut, Part, Person, Platform, Receipt,
    Session, Target, Thing, Volume, bearer, by_link, chunks, client_credentials, csv_bytes, csv_records, delivered,
    divided, finished, later, no_lists, rejected, remembered, text,
)  # fmt: skip
from tasks.errors import TransientError

VERSION = "v67.0"
DATA = f"/services/data/{VERSION}"
OUR_KEY = "rs_customer_id__c"
LOCKED = "UNABLE_TO_LOCK_ROW"
ENDED = {"Failed", "Aborted"}
GONE = {"ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"}
TYPES: Mapping[Kind, Mapping[str, Any]] = {
    Kind.NUMBER: {"type": "Number", "precision": 18, "scale": 4},
    Kind.INTEGER: {"type": "Number", "precision": 18, "scale": 0},
    Kind.DATE: {"type": "Date"},
    Kind.INSTANT: {"type": "DateTime"},
    Kind.BOOLEAN: {"type": "Checkbox", "defaultValue": "false"},
}


class SalesforceAccount(Account):
    """An external client app with the client credentials flow; ``base`` is the org's My Domain."""

    client_id: SecretStr
    client_secret: SecretStr
    base: Address
    permission_set: str = ""


def fault(response: httpx.Response) -> Exception | None:
    """The daily allowance of the whole org ends with 403, not 429: stop and resume another day."""
    if response.status_code == httpx.codes.FORBIDDEN and b"REQUEST_LIMIT_EXCEEDED" in response.content:
        return TransientError("Salesforce: the org's daily requests are used up", wait_seconds=86_400.0)
    return None


def shape(member: Member, _target: Target) -> Part:
    """One contact; identity fields we do not know are left alone, ours are cleared by null."""
    values = no_lists(member.values)
    if member.change is Change.LEAVE:
        return Part(member, values, ("leave",))
    return Part(member, {name: value for name, value in values.items() if value is not None or _ours(name)})


def _ours(name: str) -> bool:
    return name.endswith("__c")


def push(session: Session, _target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """A collection: results come in the order of the records."""
    attributes = {"attributes": {"type": "Contact"}}
    if parts[0].member.change is Change.LEAVE:
        ids = _record_ids(session, parts)
        there, gone = divided(parts, ids)
        yield from map(delivered, gone)
        records = [{**attributes, "id": ids[part.member.customer_id], **part.body} for part in there]
        yield from _collect(session, there, records, f"{DATA}/composite/sobjects")
    else:
        _link(session, parts)
        records = [{**attributes, OUR_KEY: part.member.key, **part.body} for part in parts]
        yield from _collect(session, parts, records, f"{DATA}/composite/sobjects/Contact/{OUR_KEY}")


def _collect(session: Session, parts: Sequence[Part], records: list[Any], path: str) -> Iterator[Answer]:
    if parts:
        results = session.call("PATCH", path, json={"allOrNone": False, "records": records}).json()
        for part, one in zip(parts, results, strict=True):
            error = one["errors"][0] if not one["success"] else {}
            yield _refused(part, error["statusCode"], error["message"]) if error else delivered(part, one["id"])


def _refused(part: Part, code: str, words: str) -> Answer:
    if code in GONE and part.member.change is Change.LEAVE:
        return delivered(part)
    return later(part, code, words) if code == LOCKED else rejected(part, code, words)


def push_volume(session: Session, _target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """One Bulk API 2.0 job: open, upload, close, wait, and read who succeeded and who failed."""
    leaving = parts[0].member.change is Change.LEAVE
    names = _record_ids(session, parts) if leaving else {part.member.customer_id: part.member.key for part in parts}
    here, gone = divided(parts, names)
    there = {names[part.member.customer_id]: part for part in here}
    yield from map(delivered, gone)
    if not there:
        return
    if not leaving:
        _link(session, parts)
    key = "Id" if leaving else OUR_KEY
    columns = list(dict.fromkeys(name for part in there.values() for name in part.body))
    rows = ([name, *(_cell(part.body.get(column), column) for column in columns)] for name, part in there.items())
    job = _job(session, "update" if leaving else "upsert", csv_bytes(chain([[key, *columns]], rows)))
    for line in csv_records(session.call("GET", f"{job}/successfulResults/").text):
        yield delivered(there[line[key]], line["sf__Id"])
    for line in csv_records(session.call("GET", f"{job}/failedResults/").text):
        code, _, words = line["sf__Error"].partition(":")
        yield _refused(there[line[key]], code, words)


def _cell(value: Any, column: str) -> str:
    return text(value) or ("#N/A" if _ours(column) else "")


def _job(session: Session, operation: str, content: bytes) -> str:
    asked = {"object": "Contact", "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
    if operation == "upsert":
        asked["externalIdFieldName"] = OUR_KEY
    path = f"{DATA}/jobs/ingest/{session.call('POST', f'{DATA}/jobs/ingest', json=asked).json()['id']}"
    session.call("PUT", f"{path}/batches", content=content, headers={"Content-Type": "text/csv"})
    session.call("PATCH", path, json={"state": "UploadComplete"})

    def look() -> Any:
        return session.call("GET", path).json()

    finished(session, look, what="bulk job", good={"JobComplete"}, bad=ENDED, state="state", every_seconds=10.0)
    return path


def _link(session: Session, parts: Sequence[Part]) -> None:
    """Write our key once on the contacts that only their address identifies so far."""
    emails = {p.member.email: p.member.key for p in parts if p.member.email and not p.member.native_id}
    found = _query(session, f"SELECT Id, Email FROM Contact WHERE {OUR_KEY} = null AND Email", emails)
    records = {one["Email"].lower(): {"attributes": {"type": "Contact"}, "id": one["Id"]} for one in found}
    links = [record | {OUR_KEY: emails[email]} for email, record in records.items() if email in emails]
    for some in chunks(links, 200):
        session.call("PATCH", f"{DATA}/composite/sobjects", json={"allOrNone": False, "records": some})


def _record_ids(session: Session, parts: Sequence[Part]) -> dict[str, str]:
    ids = remembered(parts)
    keys = {part.member.key: part.member.customer_id for part in parts if not part.member.native_id}
    found = _query(session, f"SELECT Id, {OUR_KEY} FROM Contact WHERE {OUR_KEY}", keys)
    return ids | {keys[one[OUR_KEY]]: one["Id"] for one in found}


def _query(session: Session, select: str, values: Iterable[str]) -> Iterator[dict[str, Any]]:
    for some in chunks(values, 100):
        quoted = ", ".join("'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" for value in some)
        yield from _pages(session, f"{select} IN ({quoted})")


def _pages(session: Session, query: str) -> Iterator[dict[str, Any]]:
    return by_link(session, f"{DATA}/query", "records", "nextRecordsUrl", {"q": query})


def wants(target: Target) -> tuple[Thing, ...]:
    """Our external id and every custom field; standard fields are there."""
    fields = (Thing("field", f.theirs, f.kind) for f in target.fields if _ours(f.theirs))
    return (Thing("key", OUR_KEY, Kind.TEXT), *fields)


def known(session: Session, target: Target) -> Known:
    """The contact's fields as it describes itself."""
    names = {one["name"].lower() for one in session.call("GET", f"{DATA}/sobjects/Contact/describe").json()["fields"]}
    return {(one.kind, one.name): one.name for one in wants(target) if one.name.lower() in names}


def create(session: Session, _target: Target, thing: Thing) -> str:
    """A custom field, and the right to write it when a permission set is named."""
    metadata = {"label": thing.name.removesuffix("__c").replace("_", " "), "required": False}
    if thing.kind == "key":
        metadata |= {"type": "Text", "length": 64, "externalId": True, "unique": True, "caseSensitive": True}
    else:
        metadata |= TYPES.get(thing.type or Kind.TEXT, {"type": "Text", "length": 255})
    full_name = f"Contact.{thing.name}"
    session.call("POST", f"{DATA}/tooling/sobjects/CustomField", json={"FullName": full_name, "Metadata": metadata})
    if parent := session.account.permission_set:
        right = {"SobjectType": "Contact", "PermissionsRead": True, "PermissionsEdit": True}
        body = {"ParentId": parent, "Field": full_name, **right}
        session.call("POST", f"{DATA}/sobjects/FieldPermissions/", json=body)
    return thing.name


def check(session: Session, _target: Target) -> str:
    """How much of the org's daily allowance is left."""
    left = session.call("GET", f"{DATA}/limits").json()["DailyApiRequests"]
    return f"{left['Remaining']} of {left['Max']} requests left today"


def opt_outs(session: Session, _target: Target, since: datetime | None, _people: Iterable[Person]) -> Iterable[OptOut]:
    """Contacts that opted out of e-mail, changed since then."""
    after = f" AND LastModifiedDate > {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if since else ""
    query = f"SELECT Email FROM Contact WHERE HasOptedOutOfEmail = true AND Email != null{after}"
    for one in _pages(session, query):
        yield OptOut(Key.EMAIL, one["Email"], "unsubscribe")


def erase(session: Session, _target: Target, people: Sequence[Person]) -> Iterable[Receipt]:
    """Delete the contact; the recycle bin keeps it until it is emptied, which the receipt says."""
    for person in people:
        ident = person.native_id
        if not ident:
            found = _query(session, f"SELECT Id FROM Contact WHERE {OUR_KEY}", [person.customer_id])
            ident = next((one["Id"] for one in found), "")
        if ident:
            session.call("DELETE", f"{DATA}/sobjects/Contact/{ident}", accept=[404])
        yield Receipt(person.customer_id, done=True, reference=ident, note="in the recycle bin until it is emptied")


PLATFORM = Platform(
    slug="salesforce", title="Salesforce", api_version=VERSION, keys=(Key.CUSTOMER_ID,), account=SalesforceAccount,
    docs="https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections_upsert.htm",
    limits=Limits(rows=200, bytes=1_000_000, per_second=10.0, parallel=2),
    volume=Volume(above=2_000, limits=Limits(rows=100_000, bytes=90_000_000, per_second=10.0), push=push_volume),
    headers=bearer(),
    token=client_credentials("/services/oauth2/token"),
    fault=fault, shape=shape, push=push, check=check, wants=wants, known=known, create=create, opt_outs=opt_outs,
    erase=erase,
    rename=lambda name: f"{name}__c",
    identity_fields={"email": "Email", "first_name": "FirstName", "last_name": "LastName"},
)  # fmt: skip
