"""Klaviyo profiles: custom properties through bulk import jobs, whose errors are fetched row by row.

A segment on ``properties['rs_segment']`` follows by itself, so no list is touched. Bulk import changes neither consent
nor suppression; the calls that do (subscription create, suppression delete) are not in this file on purpose.

Unverified, so not relied on: what a job with an unknown list does (no list is ever sent).
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

from pydantic import SecretStr

from tasks.destinations.platform import (
    Account, Address, Answer, Key, Limits, Member, OptOut, Part, Person, Platform, Session, Target, all_but, by_address,
    by_link, finished, nothing_wanted, secret_in,
)  # fmt: skip
from tasks.errors import RejectedError

REVISION = "2026-07-15"
JOBS = "/api/profile-bulk-import-jobs"
SUPPRESSED = "subscriptions.email.marketing.suppression"
NAMES = {Key.EMAIL: "email", Key.CUSTOMER_ID: "external_id"}
JSON_API = "application/vnd.api+json"
CONTENT = {"Content-Type": JSON_API}


class KlaviyoAccount(Account):
    """A private key with profiles read/write, accounts read and data-privacy write."""

    token: SecretStr
    base: Address = "https://a.klaviyo.com"


def shape(member: Member, target: Target) -> Part:
    """One profile under the one key agreed on; null clears a property, JSON types and arrays are kept."""
    attributes = {NAMES[target.key]: member.key, "properties": dict(member.values)}
    return Part(member, {"type": "profile", "attributes": attributes})


def push(session: Session, target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """One job for the batch: start, wait, and when something failed, fetch whom and why."""
    attributes = {"profiles": {"data": [part.body for part in parts]}}
    body = {"data": {"type": "profile-bulk-import-job", "attributes": attributes}}
    job = session.call("POST", JOBS, json=body, headers=CONTENT).json()["data"]["id"]

    def look() -> Any:
        return session.call("GET", f"{JOBS}/{job}").json()["data"]["attributes"]

    count = finished(session, look, what=f"import job {job}", good={"complete"}, bad={"cancelled"})["failed_count"]
    errors = dict(_errors(session, job, NAMES[target.key])) if count else {}
    if count and errors.keys().isdisjoint(part.member.key for part in parts):
        words = " ".join(next(iter(errors.values()), ()))
        raise RejectedError(f"Klaviyo: {count} profiles failed without a name ({words})")
    yield from all_but(parts, errors)


def _errors(session: Session, job: str, name: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for one in by_link(session, f"{JOBS}/{job}/import-errors", "data", "links/next", {"page[size]": "100"}):
        said = one["attributes"]
        yield said["original_payload"].get(name, ""), (said["code"], said.get("title", ""))


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
    for one in by_link(session, "/api/profiles", "data", "links/next", asked):
        email = one["attributes"].get("email")
        for said in one["attributes"]["subscriptions"]["email"]["marketing"]["suppression"] if email else []:
            yield OptOut(Key.EMAIL, email, said["reason"].lower(), at=datetime.fromisoformat(said["timestamp"]))


@by_address
def erase(session: Session, _target: Target, email: str) -> str:
    """A data privacy deletion job for the profile of an address."""
    profile = {"data": {"type": "profile", "attributes": {"email": email}}}
    job = {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}
    session.call("POST", "/api/data-privacy-deletion-jobs", json={"data": job}, headers=CONTENT, accept=[404])
    return "data-privacy-deletion-job"


PLATFORM = Platform(
    slug="klaviyo", title="Klaviyo", api_version=REVISION, keys=(Key.EMAIL, Key.CUSTOMER_ID), account=KlaviyoAccount,
    docs="https://developers.klaviyo.com/en/reference/bulk_import_profiles",
    retires=date(2028, 7, 15),
    limits=Limits(rows=10_000, bytes=4_800_000, per_second=2.4),
    headers=secret_in("Authorization", "Klaviyo-API-Key ", {"revision": REVISION, "Accept": JSON_API}),
    shape=shape, push=push, check=check, wants=nothing_wanted, opt_outs=opt_outs, erase=erase,
)  # fmt: skip
