"""Klaviyo profiles: custom properties through bulk import jobs, whose errors are fetched row by row.

A segment on ``properties['rs_segment']`` follows by itself, so no list is touched. Bulk import changes neither consent
nor suppression; the calls that do (subscription create, suppression delete) are not in this file on purpose.

Unverified, so not relied on: what a job with an unknown list does (no list is ever sent).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from pydantic import SecretStr

from tasks.destinations.platform import (
    Account,
    Address,
    Answer,
    Key,
    Limits,
    Member,
    OptOut,
    Part,
    Person,
    Platform,
    Receipt,
    Session,
    Target,
    Token,
    delivered,
    nothing_wanted,
    rejected,
)
from tasks.errors import RejectedError, TransientError

REVISION = "2026-07-15"
JOBS = "/api/profile-bulk-import-jobs"
SUPPRESSED = "subscriptions.email.marketing.suppression"
NAMES = {Key.EMAIL: "email", Key.CUSTOMER_ID: "external_id"}
CONTENT = {"Content-Type": "application/vnd.api+json"}


class KlaviyoAccount(Account):
    """A private key with profiles read/write, accounts read and data-privacy write."""

    token: SecretStr
    base: Address = "https://a.klaviyo.com"


def headers(account: KlaviyoAccount, _token: Token | None) -> Mapping[str, str]:
    """The key and the pinned revision, without which every call is refused."""
    key = f"Klaviyo-API-Key {account.token.get_secret_value()}"
    return {"Authorization": key, "revision": REVISION, "Accept": "application/vnd.api+json"}


def shape(member: Member, target: Target) -> Part:
    """One profile under the one key agreed on; null clears a property, JSON types and arrays are kept."""
    attributes = {NAMES[target.key]: member.key, "properties": dict(member.values)}
    return Part(member, {"type": "profile", "attributes": attributes})


def push(session: Session, target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """One job for the batch: start, wait, and when something failed, fetch whom and why."""
    attributes = {"profiles": {"data": [part.body for part in parts]}}
    body = {"data": {"type": "profile-bulk-import-job", "attributes": attributes}}
    job = session.call("POST", JOBS, json=body, headers=CONTENT).json()["data"]["id"]

    def ask() -> dict[str, Any] | None:
        state: dict[str, Any] = session.call("GET", f"{JOBS}/{job}").json()["data"]["attributes"]
        return state if state["status"] in {"complete", "cancelled"} else None

    state = session.poll(ask, what=f"import job {job}", every_seconds=5.0)
    if state["status"] == "cancelled":
        raise TransientError(f"Klaviyo: import job {job} was cancelled")
    errors = dict(_errors(session, job, NAMES[target.key])) if state["failed_count"] else {}
    if len({p.member.key for p in parts} & set(errors)) < min(state["failed_count"], 1):
        raise RejectedError(
            f"Klaviyo: {state['failed_count']} profiles failed without a name ({next(iter(errors), '')})"
        )
    return [_answer(part, errors.get(part.member.key)) for part in parts]


def _answer(part: Part, error: Mapping[str, str] | None) -> Answer:
    return delivered(part) if error is None else rejected(part, error["code"], error.get("title", ""))


def _errors(session: Session, job: str, name: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    for page in _pages(session, f"{JOBS}/{job}/import-errors", {"page[size]": "100"}):
        for one in page:
            yield one["attributes"]["original_payload"].get(name, ""), one["attributes"]


def _pages(session: Session, path: str | None, params: Mapping[str, str] | None) -> Iterator[list[dict[str, Any]]]:
    while path:
        body = session.call("GET", path, params=params).json()
        yield body["data"]
        path, params = (body.get("links") or {}).get("next"), None


def check(session: Session, _target: Target) -> str:
    """Whose account the key opens."""
    return f"account {session.call('GET', '/api/accounts').json()['data'][0]['id']}"


def opt_outs(session: Session, _target: Target, since: datetime | None, _people: Iterable[Person]) -> Iterable[OptOut]:
    """Every profile suppressed for e-mail since then: unsubscribed, bounced, complained or suppressed by a user."""
    after = since.strftime("%Y-%m-%dT%H:%M:%SZ") if since else "2000-01-01T00:00:00Z"
    asked = {
        "filter": f"greater-than({SUPPRESSED}.timestamp,{after})",
        "additional-fields[profile]": "subscriptions",
        "page[size]": "100",
    }
    for page in _pages(session, "/api/profiles", asked):
        for one in page:
            email = one["attributes"].get("email")
            for said in one["attributes"]["subscriptions"]["email"]["marketing"]["suppression"] if email else []:
                yield OptOut(Key.EMAIL, email, said["reason"].lower(), at=datetime.fromisoformat(said["timestamp"]))


def erase(session: Session, _target: Target, people: Sequence[Person]) -> Iterable[Receipt]:
    """A data privacy deletion job per person, by address."""
    for person in people:
        if not person.email:
            yield Receipt(person.customer_id, done=False, note="the address is not known")
            continue
        profile = {"data": {"type": "profile", "attributes": {"email": person.email}}}
        job = {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}
        session.call("POST", "/api/data-privacy-deletion-jobs", json={"data": job}, headers=CONTENT, accept=[404])
        yield Receipt(person.customer_id, done=True, reference="data-privacy-deletion-job")


PLATFORM = Platform(
    slug="klaviyo",
    title="Klaviyo",
    docs="https://developers.klaviyo.com/en/reference/bulk_import_profiles",
    api_version=REVISION,
    retires=date(2028, 7, 15),
    keys=(Key.EMAIL, Key.CUSTOMER_ID),
    account=KlaviyoAccount,
    limits=Limits(rows=10_000, bytes=4_800_000, per_second=2.4),
    headers=headers,
    shape=shape,
    push=push,
    check=check,
    wants=nothing_wanted,
    opt_outs=opt_outs,
    erase=erase,
)
