"""WooCommerce: orders changed within a window, and customers, from the REST API v3.

Customers cannot be asked for by their last change, so all are read and those that changed are kept. Needs pretty
permalinks and a key with the right to read (``ck_…:cs_…`` as the secret).

Unverified: the largest page (100) is WordPress' own rule.
"""

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from tasks.config import Dataset
from tasks.errors import RejectedError, TransientError
from tasks.intake.event import EventKind, describe_problems
from tasks.intake.events_in import event_rows
from tasks.intake.shop_orders import woocommerce_customer, woocommerce_order
from tasks.intake.sources.connector import Account, Connector, Page, Window
from tasks.intake.sources.wire import Wire

PAGE = 100
MOST_RESTARTS = 5


def read(account: Account, window: Window) -> Iterator[Page]:
    """Pages by number; when one shrinks under our hands (an order changed again meanwhile) the window begins anew."""
    wire = _wire(account)
    page, _, told = (window.position or "1").partition("/")
    number, total, restarts = int(page), told, 0
    try:
        while True:
            answer = wire.get(_path(account), {**_filter(account, window), "per_page": PAGE, "page": number})
            now = answer.headers.get("x-wp-total", "")
            if total and now != total:
                restarts += 1
                if restarts > MOST_RESTARTS:
                    raise TransientError(f"{wire.title}: what is there changes faster than it can be read.")
                number, total = 1, ""
                continue
            total = now
            last = number >= int(answer.headers.get("x-wp-totalpages", "1"))
            number += 1
            yield Page(_rows(account, answer.json(), window.since), "" if last else f"{number}/{total}")
            if last:
                return
    finally:
        wire.close()


def check(account: Account) -> str:
    """Read one object."""
    wire = _wire(account)
    try:
        wire.get(_path(account), {"per_page": 1})
        return f"{account.source.dataset.value} of {wire.title} can be read."
    finally:
        wire.close()


def _path(account: Account) -> str:
    return "/wp-json/wc/v3/orders" if account.source.dataset is Dataset.ORDERS else "/wp-json/wc/v3/customers"


def _filter(account: Account, window: Window) -> dict[str, Any]:
    order: dict[str, Any] = {"orderby": "id", "order": "asc"}
    if account.source.dataset is not Dataset.ORDERS:
        return {**order, "role": "all"}
    since = {"modified_after": _time(window.since)} if window.since else {}
    return {**order, **since, "modified_before": _time(window.until), "dates_are_gmt": "true", "status": "any"}


def _rows(account: Account, found: list[Mapping[str, Any]], since: datetime | None) -> list[dict[str, Any]]:
    if account.source.dataset is not Dataset.ORDERS:
        changed = (one for one in found if since is None or _changed_at(one) >= _time(since))
        return [row for one in changed for row in event_rows(woocommerce_customer(one, EventKind.PROFILE_UPDATE))]
    rows = []
    for one in found:
        if not one["line_items"]:
            continue
        try:
            event = woocommerce_order(one)
        except ValidationError as error:
            raise RejectedError(f"WooCommerce: order {one['id']}: {describe_problems(error)}") from None
        rows += event_rows(event) if event else []
    return rows


def _changed_at(customer: Mapping[str, Any]) -> str:
    return str(customer.get("date_modified_gmt") or customer["date_created_gmt"])


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S")


def _wire(account: Account) -> Wire:
    base = account.option("address")
    key = base64.b64encode(account.need_secret().encode()).decode()
    title = f"WooCommerce {urlsplit(base).hostname}"
    return Wire(title, base, lambda _: {"Authorization": f"Basic {key}"}, 5.0, account.patience)


CONNECTOR = Connector(
    slug="woocommerce",
    title="WooCommerce",
    docs="https://woocommerce.github.io/woocommerce-rest-api-docs/",
    datasets=frozenset({Dataset.ORDERS, Dataset.CUSTOMERS}),
    options=frozenset({"address"}),
    read=read,
    check=check,
)
