"""Designs and Single Send drafts: found by name, updated with ours, left alone once a person changed them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.campaigns.drafts import Draft
from tasks.campaigns.sendgrid_wire import Wire

EDITED = "edited"  # a person changed the draft in SendGrid; it is theirs now


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a draft lies; ``status`` is draft, scheduled, triggered or edited, ``content`` what lies there."""

    native_id: str
    design_id: str
    status: str
    content: str


def find(wire: Wire, name: str) -> Mapping[str, Any] | None:
    """The Single Send of a name, the oldest where a person has copied it; None where there is none."""
    search = wire.pages("POST", "marketing/singlesends/search", body={"name": name})
    same = [entry for entry in search if entry.get("name") == name]
    return min(same, key=lambda entry: (entry.get("created_at", ""), entry["id"]), default=None)


def is_open(entry: Mapping[str, Any] | None) -> bool:
    """Whether a draft may still be worked on: nobody has scheduled or sent it."""
    return entry is None or entry.get("status") == "draft"


def place(
    wire: Wire, draft: Draft, list_id: str, entry: Mapping[str, Any] | None, *, last_content: str | None
) -> Placed:
    """Make or update the design and the Single Send of a draft; ``last_content`` is what we left there before.

    Never touches one that is scheduled or sent, nor one whose subject or content a person has changed.
    """
    if entry is not None and not is_open(entry):
        return Placed(entry["id"], "", str(entry["status"]), last_content or "")
    if entry is None:
        design_id, _ = _ensure_design(wire, draft)
        body = _single_send(wire, draft, list_id, design_id)
        made = wire.ask("POST", "marketing/singlesends", body=body, again=False)
        return Placed(made["id"], design_id, made.get("status", "draft"), _content(made))
    there = wire.ask("GET", f"marketing/singlesends/{entry['id']}")
    if last_content and _differ(_content(there), last_content):
        design_id = str((there.get("email_config") or {}).get("design_id") or "")
        return Placed(there["id"], design_id, EDITED, last_content)
    design_id, renewed = _ensure_design(wire, draft)
    wanted = _single_send(wire, draft, list_id, design_id)
    if renewed or _differ(_content(there), _wanted_content(draft)) or not _settings_fit(there, wanted):
        there = wire.ask("PATCH", f"marketing/singlesends/{there['id']}", body=wanted)
    return Placed(there["id"], design_id, there.get("status", "draft"), _content(there))


def _single_send(wire: Wire, draft: Draft, list_id: str, design_id: str) -> dict[str, Any]:
    # No personal data in categories: SendGrid keeps them for long and cannot take them out again.
    return {
        "name": draft.name,
        "categories": [wire.settings.prefix, draft.group.campaign_id],
        "send_to": {"list_ids": [list_id], "segment_ids": [], "all": False},
        "email_config": {
            "design_id": design_id,
            "suppression_group_id": wire.settings.suppression_group_id,
            "sender_id": wire.settings.sender_id,
        },
    }


def _settings_fit(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    config, send_to = there.get("email_config") or {}, there.get("send_to") or {}
    return (
        config.get("sender_id") == wanted["email_config"]["sender_id"]
        and config.get("suppression_group_id") == wanted["email_config"]["suppression_group_id"]
        and config.get("design_id", wanted["email_config"]["design_id"]) == wanted["email_config"]["design_id"]
        and send_to.get("list_ids") == wanted["send_to"]["list_ids"]
        and not send_to.get("all")
        and sorted(there.get("categories") or []) == sorted(wanted["categories"])
    )


def _ensure_design(wire: Wire, draft: Draft) -> tuple[str, bool]:
    """Id of the design of a draft's name with its present content, and whether it had to be changed for that."""
    message = draft.message
    wanted = {
        "name": draft.name,
        "subject": message.subject,
        "html_content": message.html,
        "plain_content": message.plain,
    }
    named = [entry for entry in wire.pages("GET", "designs") if entry.get("name") == draft.name]
    if not named:
        return str(wire.ask("POST", "designs", body={**wanted, "editor": "code"}, again=False)["id"]), False
    design_id = str(min(entry["id"] for entry in named))
    there = wire.ask("GET", f"designs/{design_id}")
    if all(_plain(there.get(part)) == _plain(wanted[part]) for part in ("subject", "html_content", "plain_content")):
        return design_id, False
    wire.ask("PATCH", f"designs/{design_id}", body={**wanted, "generate_plain_content": False})
    return design_id, True


def _content(there: Mapping[str, Any]) -> str:
    """Digests of subject, HTML and plain text of a Single Send; empty for a part that the answer leaves out."""
    config = there.get("email_config") or {}
    return ":".join(_digest(config.get(part)) for part in ("subject", "html_content", "plain_content"))


def _wanted_content(draft: Draft) -> str:
    message = draft.message
    return ":".join(_digest(part) for part in (message.subject, message.html, message.plain))


def _differ(one: str, other: str) -> bool:
    return any(a != b for a, b in zip(one.split(":"), other.split(":"), strict=True) if a and b)


def _digest(text: str | None) -> str:
    return hashlib.blake2b(_plain(text).encode(), digest_size=12).hexdigest() if text else ""


def _plain(text: object) -> str:
    """White space is the platform's to change; everything else is content."""
    return " ".join(str(text or "").split())
