"""Mailchimp: merge fields of existing members in batches of 500, and one static segment (a tag) per list of ours.

Failures stand inside a 200. Nobody is ever subscribed: only members are written, no ``status`` is sent, tags of others
stay (``sync_tags`` is off). Whoever left or bounced there is not written.

Unverified, so avoided or handled both ways: what a batch does with a new address (none is sent), how a merge field is
cleared (an empty text), the words of "exists already" (looked up before and after).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field, SecretStr, model_validator

from tasks.destinations.platform import (
    Account, Address, Answer, Change, Key, Kind, Known, Limits, Member, OptOut, Part, Person, Platform, Session, Target,
    Thing, Token, admitted, all_but, basic, bearer, by_address, by_offset, fields_and_lists, text,
)  # fmt: skip

PAGE = 1_000
TAGS = {
    "rs_churn_probability": "RSCHURN",
    "rs_recommended_action": "RSACTION",
    "rs_recommended_products": "RSPRODUCTS",
    "rs_held_out_of": "RSHELDOUT",
}  # the others fit into ten letters as they are
FIELDS = {"fields": "members.email_address,members.status,total_items"}
tag_name = "rs:{}".format  # of a list of ours
REACHABLE = {"subscribed", "transactional", "pending"}


class MailchimpAccount(Account):
    """An API key (its ending names the data centre) or a token of OAuth with ``base``, and the audience."""

    token: SecretStr
    list_id: str = Field(pattern=r"^\w+$")
    base: Address = ""

    @model_validator(mode="before")
    @classmethod
    def _find_data_centre(cls, values: dict[str, Any]) -> dict[str, Any]:
        key = values.get("token")
        secret = key.get_secret_value() if isinstance(key, SecretStr) else str(key or "")
        centre = secret.rpartition("-")[2]
        if values.get("base") or not (secret and centre.isalnum()):
            return values
        return {**values, "base": f"https://{centre}.api.mailchimp.com/3.0"}


def headers(account: MailchimpAccount, token: Token | None) -> Mapping[str, str]:
    """Basic for an API key, bearer for a token of OAuth, which names no data centre."""
    if "-" not in account.token.get_secret_value():
        return bearer()(account, token)
    return {"Authorization": basic("segmentation", account.token)}


def shape(member: Member, _target: Target) -> Part:
    """One member's merge fields; numbers stay numbers, an empty text clears."""
    values = {n: v if isinstance(v, int | float) else text(v) for n, v in member.values.items()}
    return Part(member, {"email_address": member.key, "merge_fields": values}, (member.change is Change.LEAVE,))


def push(session: Session, target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """Merge fields first, then tags; the errors of both are read row by row."""
    members = session.keep("members", lambda: _members(session, target))
    there, others = admitted(parts, lambda part: members.get(_digest(part.member.key)))
    yield from others
    failed = _write(session, target, there) if there else {}
    failed |= _tag(session, target, [part for part in there if part.member.key not in failed])
    names = {part.member.key: _hash(part.member.key) for part in there}
    yield from all_but(there, {} if parts[0].member.change is Change.LEAVE else failed, names)


def _write(session: Session, target: Target, parts: Sequence[Part]) -> dict[str, tuple[str, str]]:
    body = {"members": [part.body for part in parts], "update_existing": True, "sync_tags": False}
    asked = {"skip_merge_validation": "true", "skip_duplicate_check": "true"}
    errors = session.call("POST", _list(target), json=body, params=asked).json()["errors"]
    return {one["email_address"].lower(): (one.get("error_code") or "ERROR_GENERIC", one["error"]) for one in errors}


def _tag(session: Session, target: Target, parts: Sequence[Part]) -> dict[str, tuple[str, str]]:
    failed: dict[str, tuple[str, str]] = {}
    for name in sorted({name for part in parts for name in (*part.member.lists, *part.member.leaves)}):
        path = _list(target, f"/segments/{target.native('list', tag_name(name))}")
        body = {
            "members_to_add": [part.member.key for part in parts if name in part.member.lists],
            "members_to_remove": [part.member.key for part in parts if name in part.member.leaves],
        }
        for error in session.call("POST", path, json=body).json()["errors"]:
            failed |= {email.lower(): ("ERROR_TAG", error["error"]) for email in error["email_addresses"]}
    return failed


def _members(session: Session, target: Target) -> dict[bytes, bool]:
    """Who is in the audience (as eight bytes each), and whether they may be reached; read once per push."""
    people = _pages(session, target, FIELDS)
    return {_digest(one["email_address"]): one["status"] in REACHABLE for one in people}


def _pages(session: Session, target: Target, asked: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    page = {**asked, "count": PAGE, "offset": 0}
    return by_offset(session, _list(target, "/members"), page, PAGE, rows="members", total="total_items")


def _list(target: Target, what: str = "") -> str:
    return f"/lists/{target.account.list_id}{what}"


def _hash(email: str) -> str:
    """Mailchimp names members by the MD5 of their address."""
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


def _digest(email: str) -> bytes:
    return bytes.fromhex(_hash(email)[:16])


def known(session: Session, target: Target) -> Known:
    """The audience's merge fields and static segments."""
    fields = session.call("GET", _list(target, "/merge-fields"), params={"count": PAGE}).json()["merge_fields"]
    asked = {"type": "static", "count": PAGE}
    lists = session.call("GET", _list(target, "/segments"), params=asked).json()["segments"]
    return {("field", one["tag"]): one["tag"] for one in fields} | {("list", o["name"]): str(o["id"]) for o in lists}


def create(session: Session, target: Target, thing: Thing) -> str:
    """A merge field that stays off the sign-up form, or an empty static segment."""
    if thing.kind == "list":
        body = {"name": thing.name, "static_segment": []}
        return str(session.call("POST", _list(target, "/segments"), json=body).json()["id"])
    kind = "number" if thing.type in {Kind.NUMBER, Kind.INTEGER} else "text"
    field = {"name": thing.name, "tag": thing.name, "type": kind, "required": False, "public": False}
    session.call("POST", _list(target, "/merge-fields"), json=field)
    return thing.name


def check(session: Session, target: Target) -> str:
    """How many people the audience holds."""
    asked = {"count": 1, "fields": "total_items"}
    return f"{session.call('GET', _list(target, '/members'), params=asked).json()['total_items']} members"


def opt_outs(session: Session, target: Target, since: datetime | None, _people: Iterable[Person]) -> Iterable[OptOut]:
    """Members who unsubscribed or were cleaned since then."""
    changed = {"since_last_changed": since.astimezone(UTC).isoformat()} if since else {}
    for status, reason in (("unsubscribed", "unsubscribe"), ("cleaned", "bounce")):
        for one in _pages(session, target, {"status": status, **FIELDS, **changed}):
            yield OptOut(Key.EMAIL, one["email_address"], reason)


@by_address
def erase(session: Session, target: Target, email: str) -> str:
    """Delete permanently; Mailchimp never takes the address back by import."""
    session.call("POST", _list(target, f"/members/{_hash(email)}/actions/delete-permanent"), accept=[404])
    return "delete-permanent"


PLATFORM = Platform(
    slug="mailchimp", title="Mailchimp", api_version="3.0", keys=(Key.EMAIL,), account=MailchimpAccount,
    docs="https://mailchimp.com/developer/marketing/api/lists/batch-subscribe-or-unsubscribe/",
    limits=Limits(rows=500, bytes=4_000_000, per_second=8.0, parallel=4),
    headers=headers, shape=shape, push=push, check=check, known=known, create=create, opt_outs=opt_outs, erase=erase,
    wants=fields_and_lists(tag_name), uses_lists=True,
    rename=lambda name: TAGS.get(name, name.replace("_", "").upper()[:10]),
)  # fmt: skip
