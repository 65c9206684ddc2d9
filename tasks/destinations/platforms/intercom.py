"""Intercom contacts: one call each, found again by the id we remember or by the conflict that creation answers with.

Segments and series filter on the custom attribute. An archived contact is not revived. Whether somebody is subscribed
is read and never written.

Unverified, so handled both ways: 400 or 422 for a bad value (both are refusals of the one row).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from tasks.destinations.platform import (
    Account, Address, Answer, Change, Key, Kind, Known, Limits, Member, OptOut, Part, Person, Platform, Receipt,
    Session, Target, Thing, at, bearer, by_cursor, delivered, no_lists, one_by_one, rejected,
)  # fmt: skip
from tasks.errors import RejectedError

VERSION = "2.14"
TYPES = {Kind.NUMBER: "float", Kind.INTEGER: "integer", Kind.BOOLEAN: "boolean", Kind.DATE: "date"}
STATES = {"unsubscribed_from_emails": "unsubscribe", "has_hard_bounced": "bounce", "marked_email_as_spam": "spam"}
TAKEN = re.compile(r"id=(\w+)")


class IntercomAccount(Account):
    """An access token; ``base`` is api.eu.intercom.io or api.au.intercom.io for other regions."""

    token: SecretStr
    base: Address = "https://api.intercom.io"


def shape(member: Member, _target: Target) -> Part:
    """One contact; null clears an attribute."""
    attributes = {"custom_attributes": no_lists(member.values)}
    if member.change is Change.LEAVE:
        return Part(member, attributes, ("leave",))
    email = {"email": member.email} if member.email else {}
    return Part(member, {"role": "user", "external_id": member.key, **email, **attributes})


def push(session: Session, _target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """One call per contact: update whom we know, create the others."""
    return one_by_one(parts, lambda part: _send(session, part))


def _send(session: Session, part: Part) -> Answer:
    if part.member.change is Change.LEAVE:
        ident = part.member.native_id or _find(session, part.member.key)
        if ident:
            session.call("PUT", f"/contacts/{ident}", json=part.body, accept=[404])
        return delivered(part, ident)
    if part.member.native_id:
        answer = session.call("PUT", f"/contacts/{part.member.native_id}", json=part.body, accept=[404])
        if answer.is_success:
            return delivered(part, answer.json()["id"])
    answer = session.call("POST", "/contacts", json=part.body, accept=[409])
    if answer.is_success:
        return delivered(part, answer.json()["id"])
    words = answer.json()["errors"][0]["message"]
    if "archived" in words.lower():
        return rejected(part, "archived", "The contact is archived; unarchive it in Intercom")
    taken = TAKEN.search(words)
    if taken is None:
        raise RejectedError(words)
    return delivered(part, session.call("PUT", f"/contacts/{taken[1]}", json=part.body).json()["id"])


def _find(session: Session, external_id: str) -> str:
    answer = session.call("GET", f"/contacts/find_by_external_id/{quote(external_id, safe='')}", accept=[404])
    return str(answer.json()["id"]) if answer.is_success else ""


def known(session: Session, _target: Target) -> Known:
    """The contact attributes of the workspace."""
    body = session.call("GET", "/data_attributes", params={"model": "contact"}).json()
    return {("field", one["name"]): one["name"] for one in body["data"] if one.get("custom", True)}


def create(session: Session, _target: Target, thing: Thing) -> str:
    """A custom attribute; it must exist before it is written."""
    body = {"name": thing.name, "model": "contact", "data_type": TYPES.get(thing.type or Kind.TEXT, "string")}
    session.call("POST", "/data_attributes", json=body)
    return thing.name


def check(session: Session, _target: Target) -> str:
    """How many contact attributes can be read."""
    body = session.call("GET", "/data_attributes", params={"model": "contact"}).json()
    return f"{len(body['data'])} contact attributes readable"


def opt_outs(session: Session, _target: Target, _since: datetime | None, _people: Iterable[Person]) -> Iterable[OptOut]:
    """Contacts that unsubscribed, bounced for good, or called a message spam."""
    for name, reason in STATES.items():
        for one in _search(session, {"field": name, "operator": "=", "value": True}):
            if one.get("email"):
                yield OptOut(Key.EMAIL, one["email"], reason)


def _search(session: Session, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    def page(after: str | None) -> tuple[list[dict[str, Any]], str | None]:
        asked = {"per_page": 150} | ({"starting_after": after} if after else {})
        body = session.call("POST", "/contacts/search", json={"query": query, "pagination": asked}).json()
        return body["data"], at(body, "pages/next/starting_after")

    return by_cursor(page)


def erase(session: Session, _target: Target, people: Sequence[Person]) -> Iterable[Receipt]:
    """Delete the contact; Intercom may restore it for a week."""
    for person in people:
        ident = person.native_id or _find(session, person.customer_id)
        if ident:
            session.call("DELETE", f"/contacts/{ident}", accept=[404])
        yield Receipt(person.customer_id, done=True, reference=ident, note="" if ident else "was not there")


PLATFORM = Platform(
    slug="intercom", title="Intercom", api_version=VERSION, keys=(Key.CUSTOMER_ID,), account=IntercomAccount,
    docs="https://developers.intercom.com/docs/references/2.14/rest-api/api.intercom.io/contacts",
    limits=Limits(rows=1, bytes=1_000_000, per_second=160.0, parallel=16),
    headers=bearer({"Intercom-Version": VERSION, "Accept": "application/json"}),
    shape=shape, push=push, check=check, known=known, create=create, opt_outs=opt_outs, erase=erase,
)  # fmt: skip
