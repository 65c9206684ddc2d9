"""From a stored plan row to the customer that a platform shapes."""

from collections.abc import Mapping
from typing import Any

from tasks.destinations.platform import Change, Member

CHANGES = {str(change): change for change in Change}


def member_of(customer_id: str, change: str, payload: Mapping[str, Any]) -> Member:
    """The member a plan row describes; a moved key carries the former self that has to leave first."""
    told = payload.get
    return Member(
        customer_id,
        CHANGES[change],
        payload["key"],
        payload["email"],
        payload["phone"],
        payload["vals"],
        told("old_vals"),
        tuple(told("lists", ())),
        tuple(told("joins", ())),
        tuple(told("leaves", ())),
        told("native_id", ""),
        _former(customer_id, payload) if change == "move" else None,
    )


def _former(customer_id: str, payload: Mapping[str, Any]) -> Member:
    return Member(
        customer_id=customer_id,
        change=Change.LEAVE,
        key=payload["old_key"],
        email=payload["old_email"],
        phone=payload["old_phone"],
        values=payload["cleared"],
        leaves=tuple(payload["old_lists"]),
        native_id=payload["native_id"],
    )
