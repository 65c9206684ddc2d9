"""Contacts of a draft: upserted in batches, each import followed to the errors of its rows; members taken off lists.

The format of the file with row errors is published nowhere, so it is read loosely, and rows that cannot be told from
it are looked up afterwards: a contact that is on the list was accepted.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tasks.campaigns.drafts import Contact
from tasks.campaigns.sendgrid_wire import Wire, scrub
from tasks.campaigns.settings import check_address
from tasks.errors import ConfigurationError, RejectedError, TransientError

MOST_BYTES = 5_500_000  # SendGrid takes 6 MB
_SEARCHED = 100
_SLOWEST_POLL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one contact; ``reason`` holds SendGrid's words where it was refused."""

    contact: Contact
    accepted: bool
    reason: str = ""


def batches(contacts: Iterable[Contact], field_ids: Mapping[str, str], most_rows: int) -> Iterator[list[Contact]]:
    """Contacts in requests that keep to SendGrid's limits of rows and of bytes."""
    batch: list[Contact] = []
    size = 0
    for contact in contacts:
        length = len(json.dumps(_body(contact, field_ids)).encode()) + 2
        if batch and (len(batch) >= most_rows or size + length > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(contact)
        size += length
    if batch:
        yield batch


def upsert(wire: Wire, list_id: str, contacts: Sequence[Contact], field_ids: Mapping[str, str]) -> tuple[Outcome, ...]:
    """Put one batch on a list and wait for the import; every contact gets exactly one outcome.

    Raises TransientError when the import does not end in time: the next run sends the batch again, which changes
    nothing that has arrived. A batch that is refused whole raises ConfigurationError with SendGrid's words.
    """
    body = {"list_ids": [list_id], "contacts": [_body(contact, field_ids) for contact in contacts]}
    try:
        job_id = wire.ask("PUT", "marketing/contacts", body=body)["job_id"]
    except RejectedError as error:
        message = f"None of {len(contacts):,} contacts was taken: {error}"
        raise ConfigurationError(message) from error
    job = _wait_for(wire, job_id)
    if job["status"] == "completed":
        return tuple(Outcome(contact, accepted=True) for contact in contacts)
    refused = _refused_rows(wire, job, {contact.email for contact in contacts})
    results = job.get("results") or {}
    if len(refused) != results.get("errored_count", -1):
        on_list = members_of(wire, list_id, [contact.email for contact in contacts])
        refused = {c.email: refused.get(c.email, "not on the list after the import") for c in contacts
                   if c.email not in on_list}  # fmt: skip
    if len(refused) == len(contacts) > 1:
        reason = next(iter(refused.values()))
        message = f"SendGrid refused all {len(contacts):,} contacts of an import ({reason}): check the plan's limit."
        raise ConfigurationError(message)
    return tuple(Outcome(c, accepted=c.email not in refused, reason=refused.get(c.email, "")) for c in contacts)


def members_of(wire: Wire, list_id: str, emails: Sequence[str]) -> dict[str, str]:
    """Address → contact id of those of ``emails`` that are on a list now."""
    found: dict[str, str] = {}
    for start in range(0, len(emails), _SEARCHED):
        asked = list(emails[start : start + _SEARCHED])
        try:
            answer = wire.ask("POST", "marketing/contacts/search/emails", body={"emails": asked})
        except RejectedError as error:
            if "(404)" in str(error):  # none of them is known
                continue
            raise
        for email, entry in (answer.get("result") or {}).items():
            contact = entry.get("contact") or {}
            if list_id in (contact.get("list_ids") or []):
                found[email.lower()] = contact["id"]
    return found


def take_off(wire: Wire, list_id: str, emails: Sequence[str]) -> None:
    """Take contacts off a list and wait until it is done; the contacts stay, and their suppressions with them."""
    ids = sorted(members_of(wire, list_id, emails).values())
    for start in range(0, len(ids), _SEARCHED):
        asked = ",".join(ids[start : start + _SEARCHED])
        answer = wire.ask("DELETE", f"marketing/lists/{list_id}/contacts", query={"contact_ids": asked})
        job_id = (answer or {}).get("job_id")
        if job_id:
            _wait_for(wire, job_id)


def _body(contact: Contact, field_ids: Mapping[str, str]) -> dict[str, Any]:
    # The address alone identifies: a contact made with a second identifier could never be updated without it.
    return {
        "email": contact.email,
        "custom_fields": {field_ids[name]: text for name, text in contact.fields.items()},
    }


def _wait_for(wire: Wire, job_id: str) -> Mapping[str, Any]:
    """The import's final state: counts grow while it runs, only its status tells that it is over."""
    deadline = wire.clock() + wire.settings.job_timeout_seconds
    pause = 1.0
    while True:
        job: Mapping[str, Any] = wire.ask("GET", f"marketing/contacts/imports/{job_id}")
        if job.get("status") in ("completed", "errored", "failed"):
            return job
        if wire.clock() >= deadline:
            message = f"An import of contacts has not ended after {wire.settings.job_timeout_seconds:.0f} seconds."
            raise TransientError(message, wait_seconds=60.0)
        wire.sleep(pause)
        pause = min(pause * 2, _SLOWEST_POLL_SECONDS)


def _refused_rows(wire: Wire, job: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """Address → reason, as far as the file with errors tells."""
    url = str((job.get("results") or {}).get("errors_url") or "")
    if not url:
        return {}
    try:
        # The address is signed by itself: our key must not travel there.
        answer = httpx.get(check_address(url), timeout=wire.settings.request_timeout_seconds, follow_redirects=False)
        answer.raise_for_status()
    except (ValueError, httpx.HTTPError):
        return {}
    refused: dict[str, str] = {}
    for line in answer.text.splitlines():
        words = line.lower()
        found = [email for email in re.findall(r"[^\s,;\"']+@[^\s,;\"']+", words) if email in known]
        for email in found:
            reason = re.sub(r"[\"{}\[\]]", " ", re.sub(re.escape(email), "", line, flags=re.IGNORECASE))
            refused[email] = " ".join(scrub(reason).replace(",", " ").split()) or "refused"
    return refused
