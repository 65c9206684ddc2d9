"""HubSpot: contacts with their opt-out; all of them from the list the first time, then those changed from the search.

The search gives at most 10,000 contacts per question: after those the next question begins at the newest change seen.
``hs_email_optout`` is a no where it is set; where it is not, nobody has said yes.

Unverified: that ``hs_email_optout`` may be read in every account (it is left out where it is not sent).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tasks.config import Dataset
from tasks.errors import RejectedError
from tasks.intake.sources.connector import Account, Connector, Page, Window
from tasks.intake.sources.wire import Wire

BASE = "https://api.hubapi.com"
PAGE = 100
MOST_FOUND = 10_000
PROPERTIES = (
    "email",
    "phone",
    "firstname",
    "lastname",
    "zip",
    "createdate",
    "lastmodifieddate",
    "hs_email_optout",
)
_LIST = "/crm/v3/objects/contacts"
_ALL = "all:"


def read(account: Account, window: Window) -> Iterator[Page]:
    """Everything by list, or what changed by search."""
    wire = _wire(account)
    try:
        if window.since is None or window.position.startswith(_ALL):
            yield from _everyone(wire, window)
        else:
            yield from _changed(wire, window)
    finally:
        wire.close()


def check(account: Account) -> str:
    """Read one contact."""
    wire = _wire(account)
    try:
        wire.get(_LIST, {"limit": 1})
        return "Contacts of HubSpot can be read."
    finally:
        wire.close()


def _everyone(wire: Wire, window: Window) -> Iterator[Page]:
    after = window.position.removeprefix(_ALL)
    while True:
        params = {"limit": PAGE, "properties": ",".join(PROPERTIES), **({"after": after} if after else {})}
        found = wire.get(_LIST, params).json()
        after = _next(found)
        yield Page([_row(contact) for contact in found["results"]], f"{_ALL}{after}" if after else "")
        if not after:
            return


def _changed(wire: Wire, window: Window) -> Iterator[Page]:
    begin, _, after = window.position.partition("/")
    begin = begin or str(_milliseconds(window.since))
    newest = begin
    while True:
        found = wire.call("POST", f"{_LIST}/search", json=question(begin, window.until, after)).json()
        rows = [_row(contact) for contact in found["results"]]
        if rows:
            newest = str(_milliseconds(datetime.fromisoformat(rows[-1]["updated_at"])))
        after = _next(found)
        if after and int(after) + PAGE > MOST_FOUND:
            if newest == begin:
                raise RejectedError(f"{wire.title}: more than {MOST_FOUND} contacts changed in the same moment.")
            begin, after = newest, ""
            yield Page(rows, f"{begin}/")
            continue
        yield Page(rows, f"{begin}/{after}" if after else "")
        if not after:
            return


def question(begin: str, until: datetime, after: str) -> dict[str, Any]:
    """Body of the search for contacts changed from ``begin`` (milliseconds) until before ``until``."""
    changed = "lastmodifieddate"
    filters = [
        {"propertyName": changed, "operator": "GTE", "value": begin},
        {"propertyName": changed, "operator": "LT", "value": str(_milliseconds(until))},
    ]
    return {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": changed, "direction": "ASCENDING"}],
        "properties": list(PROPERTIES),
        "limit": PAGE,
        **({"after": after} if after else {}),
    }


def _next(found: Mapping[str, Any]) -> str:
    return str(found.get("paging", {}).get("next", {}).get("after", ""))


def _row(contact: Mapping[str, Any]) -> dict[str, Any]:
    told = contact["properties"]
    return {
        "customer_id": str(contact["id"]),
        "email": told.get("email"),
        "phone": told.get("phone"),
        "first_name": told.get("firstname"),
        "last_name": told.get("lastname"),
        "postcode": told.get("zip"),
        "created_at": told.get("createdate"),
        "updated_at": told.get("lastmodifieddate") or contact.get("updatedAt"),
        "consent_email": "denied" if told.get("hs_email_optout") == "true" else None,
    }


def _milliseconds(at: datetime | None) -> int:
    return 0 if at is None else int(at.astimezone(UTC).timestamp() * 1000)


def _wire(account: Account) -> Wire:
    token = account.need_secret()
    base = account.option("address", BASE)
    return Wire("HubSpot", base, lambda _: {"Authorization": f"Bearer {token}"}, 4.0, account.patience)


CONNECTOR = Connector(
    slug="hubspot",
    title="HubSpot",
    docs="https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide",
    datasets=frozenset({Dataset.CONTACTS, Dataset.CUSTOMERS}),
    options=frozenset({"address"}),
    read=read,
    check=check,
)
