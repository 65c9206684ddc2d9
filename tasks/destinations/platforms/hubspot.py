"""HubSpot contacts: custom properties, written in synchronous batches, with one unique property as our key.

Contacts that HubSpot knows by address are found first and get our key, everybody else is created with it; after that
record ids are remembered. A marketer makes one active list per segment on the segment property.

Unverified, so handled both ways: which field of an error carries the trace id (rows are matched by key instead, the
rest is sent again in halves); ``hs_email_optout`` as a readable property (absent means no opt-out is known).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from tasks.destinations.platform import (
    Account, Address, Answer, Change, Key, Kind, Known, Limits, Member, OptOut, Part, Person, Platform, Receipt,
    Session, Target, Thing, bearer, chunks, delivered, divided, fields_and_no_lists, remembered, rest_of, text,
)  # fmt: skip
from tasks.errors import RejectedError

CONTACTS = "/crm/v3/objects/contacts"
PROPERTIES = "/crm/v3/properties/contacts"
GROUP = "rs"
OUR_KEY = "rs_customer_id"
TYPES = {Kind.NUMBER: "number", Kind.INTEGER: "number", Kind.DATE: "date", Kind.INSTANT: "datetime"}
FIELD_TYPES = {"string": "text", "datetime": "date"}  # the others are entered as what they are


class HubSpotAccount(Account):
    """A private app's token with contacts read/write and schemas write."""

    token: SecretStr
    base: Address = "https://api.hubapi.com"


def shape(member: Member, _target: Target) -> Part:
    """One contact; every value is a string and an empty one clears."""
    values = {name: text(value) for name, value in member.values.items()}
    if member.change is Change.LEAVE:
        return Part(member, {"properties": values}, ("leave", bool(member.native_id)))
    own = {OUR_KEY: member.customer_id} | ({"email": member.email} if member.email else {})
    return Part(member, {"properties": own | values}, ("known",) if member.native_id else ("new",))


def push(session: Session, _target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """Update the contacts that exist by record id, upsert the others by our key; whoever is absent has left already."""
    ids = remembered(parts) | _find(session, [part for part in parts if not part.member.native_id])
    there, absent = divided(parts, ids)
    yield from _write(session, "update", there, lambda part: {"id": ids[part.member.customer_id]})
    if parts[0].member.change is Change.LEAVE:
        yield from map(delivered, absent)
    else:
        yield from _write(session, "upsert", absent, lambda part: {"id": part.member.key, "idProperty": OUR_KEY})


def _write(session: Session, verb: str, parts: Sequence[Part], name: Any) -> Iterable[Answer]:
    """One batch; rows the answer does not mention are sent again alone, and refused when nothing is left to try."""
    if not parts:
        return
    inputs = [{**name(part), "objectWriteTraceId": part.member.customer_id, **part.body} for part in parts]
    body = session.call("POST", f"{CONTACTS}/batch/{verb}", json={"inputs": inputs}).json()
    by_name = {item["id"]: part for item, part in zip(inputs, parts, strict=True)}
    done = [
        delivered(part, one["id"])
        for one in body["results"]
        if (part := by_name.get(one["id"]) or by_name.get(one.get("properties", {}).get(OUR_KEY)))
    ]
    yield from done
    rest = rest_of(parts, done)
    if rest and not done:
        raise RejectedError("; ".join(str(one.get("message", one.get("category"))) for one in body.get("errors", [])))
    yield from _write(session, verb, rest, name)


def _find(session: Session, parts: Sequence[Part]) -> dict[str, str]:
    """Our customer id → record id of the contacts HubSpot knows by our key, else by address."""
    found: dict[str, str] = {}
    emails = {p.member.email: p.member.customer_id for p in parts if p.member.email}
    for prop, names in (("email", emails), (OUR_KEY, {p.member.key: p.member.customer_id for p in parts})):
        for one in _read(session, names, [prop], {"idProperty": prop}) if names else ():
            if (name := one["properties"].get(prop)) in names:
                found[names[name]] = one["id"]
    return found


def _read(session: Session, names: Iterable[str], properties: list[str], by: Mapping[str, str] | None = None) -> Any:
    asked = {**(by or {}), "properties": properties, "inputs": [{"id": name} for name in names]}
    return session.call("POST", f"{CONTACTS}/batch/read", json=asked).json()["results"]


def wants(target: Target) -> tuple[Thing, ...]:
    """A property group, our unique key and one property per field."""
    return (Thing("group", GROUP), Thing("key", OUR_KEY, Kind.TEXT), *fields_and_no_lists(target))


def known(session: Session, target: Target) -> Known:
    """What exists of the things we need, asked one by one."""
    found = {}
    for thing in wants(target):
        path = f"{PROPERTIES}/groups/{thing.name}" if thing.kind == "group" else f"{PROPERTIES}/{thing.name}"
        if session.call("GET", path, accept=[404]).is_success:
            found[thing.kind, thing.name] = thing.name
    return found


def create(session: Session, _target: Target, thing: Thing) -> str:
    """Create the group, the key or a property."""
    if thing.kind == "group":
        session.call("POST", f"{PROPERTIES}/groups", json={"name": thing.name, "label": "Retail segmentation"})
        return thing.name
    kind = TYPES.get(thing.type or Kind.TEXT, "string")
    types = {"type": kind, "fieldType": FIELD_TYPES.get(kind, kind)}
    body = {"name": thing.name, "label": thing.name.replace("_", " "), "groupName": GROUP, **types}
    session.call("POST", PROPERTIES, json=body | ({"hasUniqueValue": True} if thing.kind == "key" else {}))
    return thing.name


def check(session: Session, _target: Target) -> str:
    """Read one property that every portal has."""
    return f"contacts readable ({session.call('GET', f'{PROPERTIES}/email').json()['name']})"


def opt_outs(session: Session, _target: Target, _since: datetime | None, people: Iterable[Person]) -> Iterable[OptOut]:
    """Contacts we pushed that have opted out of all e-mail."""
    for some in chunks((person.native_id for person in people if person.native_id), 100):
        for one in _read(session, some, ["email", "hs_email_optout"]):
            if one["properties"].get("hs_email_optout") == "true" and one["properties"].get("email"):
                yield OptOut(Key.EMAIL, one["properties"]["email"], "unsubscribe")


def erase(session: Session, _target: Target, people: Sequence[Person]) -> Iterable[Receipt]:
    """GDPR deletion; an unknown address is put on HubSpot's block list."""
    for person in people:
        if not person.native_id and not person.email:
            yield Receipt(person.customer_id, done=False, note="neither record id nor address is known")
            continue
        by_email = {"objectId": person.email, "idProperty": "email"}
        by_id = {"objectId": person.native_id} if person.native_id else by_email
        session.call("POST", f"{CONTACTS}/gdpr-delete", json=by_id, accept=[404])
        yield Receipt(person.customer_id, done=True, reference="gdpr-delete")


PLATFORM = Platform(
    slug="hubspot", title="HubSpot", api_version="v3", keys=(Key.CUSTOMER_ID,), account=HubSpotAccount,
    docs="https://developers.hubspot.com/docs/api-reference/crm-contacts-v3",
    limits=Limits(rows=100, bytes=1_000_000, per_second=19.0, parallel=4, per_day=650_000),
    headers=bearer(),
    shape=shape, push=push, check=check, wants=wants, known=known, create=create, opt_outs=opt_outs, erase=erase,
)  # fmt: skip
