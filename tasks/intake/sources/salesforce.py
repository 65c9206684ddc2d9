"""Salesforce: contacts or leads with their opt-out, by SOQL over the time of the last change.

``HasOptedOutOfEmail`` is a no where it is set; where it is not, nobody has said yes. The daily number of requests
belongs to the whole organisation: when it is used up, reading goes on in a later run.

Unverified: how long a query's next page stays available; a page that has gone begins the window anew.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from tasks.config import Dataset
from tasks.errors import ConfigurationError, SegmentationError, TransientError
from tasks.intake.sources.connector import Account, Connector, Page, Window
from tasks.intake.sources.wire import Wire, secure

API_VERSION = "67.0"
LATER_SECONDS = 3_600.0
_OBJECTS = {"Contact": "MailingPostalCode", "Lead": "PostalCode"}


def read(account: Account, window: Window) -> Iterator[Page]:
    """Pages of the query, oldest change first."""
    wire = _wire(account)
    try:
        path, params = window.position, None
        if not path:
            path, params = f"/services/data/v{API_VERSION}/query", {"q": query(account, window)}
        while True:
            found = wire.get(path, params).json()
            path, params = str(found.get("nextRecordsUrl") or ""), None
            yield Page([_row(account, record) for record in found["records"]], path)
            if not path:
                return
    finally:
        wire.close()


def check(account: Account) -> str:
    """Read one record."""
    wire = _wire(account)
    try:
        wire.get(f"/services/data/v{API_VERSION}/query", {"q": f"SELECT Id FROM {_object(account)} LIMIT 1"})
        return f"{_object(account)} of {wire.title} can be read."
    finally:
        wire.close()


def query(account: Account, window: Window) -> str:
    """The SOQL of a window; times are ours, no value comes from outside."""
    since = f"SystemModstamp >= {window.since:%Y-%m-%dT%H:%M:%SZ} AND " if window.since else ""
    return (
        f"SELECT Id, Email, Phone, FirstName, LastName, {_OBJECTS[_object(account)]}, HasOptedOutOfEmail, CreatedDate, "
        f"SystemModstamp FROM {_object(account)} WHERE {since}SystemModstamp < {window.until:%Y-%m-%dT%H:%M:%SZ} "
        "ORDER BY SystemModstamp, Id"
    )


def _object(account: Account) -> str:
    name = account.option("object", "Contact")
    if name not in _OBJECTS:
        raise ConfigurationError(f"Source {account.source.name}: options.object is Contact or Lead, not {name}.")
    return name


def _row(account: Account, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "customer_id": record["Id"],
        "email": record["Email"],
        "phone": record["Phone"],
        "first_name": record["FirstName"],
        "last_name": record["LastName"],
        "postcode": record[_OBJECTS[_object(account)]],
        "created_at": _time(record["CreatedDate"]),
        "updated_at": _time(record["SystemModstamp"]),
        "consent_email": "denied" if record["HasOptedOutOfEmail"] else None,
    }


def _time(text: str) -> str:
    """``2026-03-02T10:00:00.000+0000`` with the colon that ISO 8601 asks for."""
    return f"{text[:-2]}:{text[-2:]}" if text[-5:-4] in {"+", "-"} else text


def _fault(response: httpx.Response) -> SegmentationError | None:
    """The day's requests are used up: 403 with a code, no ``Retry-After``."""
    if response.status_code == httpx.codes.FORBIDDEN and "REQUEST_LIMIT_EXCEEDED" in response.text:
        return TransientError("Salesforce: the organisation's daily requests are used up.", wait_seconds=LATER_SECONDS)
    return None


def _wire(account: Account) -> Wire:
    base = account.option("address")
    return Wire(f"Salesforce {urlsplit(base).hostname}", base, _authorizer(account), 5.0, account.patience, _fault)


def _authorizer(account: Account) -> Callable[[Wire], dict[str, str]]:
    """A token by the client credentials flow; requests go to the instance that the answer names."""
    login = account.option("address")
    keys = json.loads(account.need_secret())

    def authorize(wire: Wire) -> dict[str, str]:
        form = {"grant_type": "client_credentials", **{name: keys[name] for name in ("client_id", "client_secret")}}
        answer = wire.call("POST", f"{login}/services/oauth2/token", data=form, authorized=False).json()
        wire.base = secure(str(answer["instance_url"]))
        return {"Authorization": f"Bearer {answer['access_token']}"}

    return authorize


CONNECTOR = Connector(
    slug="salesforce",
    title="Salesforce",
    docs="https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/",
    datasets=frozenset({Dataset.CONTACTS, Dataset.CUSTOMERS}),
    options=frozenset({"address", "object"}),
    read=read,
    check=check,
)
