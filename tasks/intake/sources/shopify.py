"""Shopify: orders and customers from the Admin GraphQL API, everything by a bulk operation, changes page by page.

An order is turned into the shape of a webhook and read by the same code, so that a shop's events and its pulled orders
are the same rows. Orders older than 60 days need the scope ``read_all_orders``.

Unverified: whether a throttled query answers 200 or 429 (both are understood); that a bulk operation's file lists each
order before its lines (asked for by ``groupObjects: true``).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx

from tasks.config import Dataset
from tasks.errors import ConfigurationError, RejectedError, SegmentationError, TransientError
from tasks.intake.event import Event, EventKind
from tasks.intake.events_in import event_rows
from tasks.intake.shop_orders import shopify_customer, shopify_order
from tasks.intake.sources.connector import Account, Connector, Page, Window
from tasks.intake.sources.wire import Wire

API_VERSION = "2026-07"
PAGE = 100
LINES = 50
BULK_ROWS = 5_000
BULK_SECONDS = 24 * 3600
_BULK = "bulk:"

_MONEY = "{shopMoney{amount}}"
_LINE = (
    "id sku quantity currentQuantity product{id} "
    f"originalUnitPriceSet{_MONEY} discountedUnitPriceAfterAllDiscountsSet{_MONEY}"
)
_ORDER = "id email phone createdAt updatedAt processedAt cancelledAt test currencyCode customer{id}"
_CUSTOMER = (
    "id firstName lastName createdAt updatedAt defaultAddress{zip countryCodeV2} "
    "defaultEmailAddress{emailAddress marketingState} defaultPhoneNumber{phoneNumber}"
)
_PAGES = {
    Dataset.ORDERS: (
        "query($first:Int!,$after:String,$query:String){orders(first:$first,after:$after,query:$query,sortKey:UPDATED_AT)"
        f"{{nodes{{{_ORDER} lineItems(first:{LINES}){{nodes{{{_LINE}}} pageInfo{{hasNextPage endCursor}}}}}} "
        "pageInfo{hasNextPage endCursor}}}"
    ),
    Dataset.CUSTOMERS: (
        "query($first:Int!,$after:String,$query:String){customers(first:$first,after:$after,query:$query,"
        f"sortKey:UPDATED_AT){{nodes{{{_CUSTOMER}}} pageInfo{{hasNextPage endCursor}}}}}}"
    ),
}
_MORE_LINES = (
    f"query($id:ID!,$after:String){{order(id:$id){{lineItems(first:{LINES},after:$after){{nodes{{{_LINE}}} "
    "pageInfo{hasNextPage endCursor}}}}"
)
_ALL = {
    Dataset.ORDERS: f"{{orders{{edges{{node{{{_ORDER} lineItems{{edges{{node{{{_LINE}}}}}}}}}}}}}}}",
    Dataset.CUSTOMERS: f"{{customers{{edges{{node{{{_CUSTOMER}}}}}}}}}",
}
_RUN = (
    "mutation($query:String!){bulkOperationRunQuery(query:$query,groupObjects:true)"
    "{bulkOperation{id} userErrors{field message}}}"
)
_STATUS = "query($id:ID!){bulkOperation(id:$id){status errorCode url}}"
_CHECK = "{shop{name}}"
QUERIES = (*_PAGES.values(), _MORE_LINES, *_ALL.values(), _RUN, _STATUS, _CHECK)


def read(account: Account, window: Window) -> Iterator[Page]:
    """Everything by a bulk operation the first time, then what changed, oldest change first."""
    wire = _wire(account)
    try:
        if window.since is None or window.position.startswith(_BULK):
            yield from _bulk(account, wire, window)
        else:
            yield from _changes(account, wire, window)
    finally:
        wire.close()


def check(account: Account) -> str:
    """Name the shop that answers."""
    wire = _wire(account)
    try:
        return f"Shop {_ask(wire, _CHECK)['shop']['name']} answers."
    finally:
        wire.close()


def _changes(account: Account, wire: Wire, window: Window) -> Iterator[Page]:
    name, after = account.source.dataset.value, window.position or None
    asked = f"updated_at:>='{_time(window.since)}' AND updated_at:<'{_time(window.until)}'"
    while True:
        values = {"first": PAGE, "after": after, "query": asked}
        found = _ask(wire, _PAGES[account.source.dataset], values)[name]
        nodes = [_whole_order(wire, node) for node in found["nodes"]] if name == "orders" else found["nodes"]
        info = found["pageInfo"]
        after = info["endCursor"] if info["hasNextPage"] else None
        yield Page(_rows(account, nodes), after or "")
        if after is None:
            return


def _whole_order(wire: Wire, node: dict[str, Any]) -> dict[str, Any]:
    """The order with all its lines, should it have more than fit into the first answer."""
    lines, info = list(node["lineItems"]["nodes"]), node["lineItems"]["pageInfo"]
    while info["hasNextPage"]:
        more = _ask(wire, _MORE_LINES, {"id": node["id"], "after": info["endCursor"]})["order"]["lineItems"]
        lines += more["nodes"]
        info = more["pageInfo"]
    return {**node, "lines": lines}


def _bulk(account: Account, wire: Wire, window: Window) -> Iterator[Page]:
    """Start the operation, wait for its file, hand on its objects; after a kill go on with the same operation."""
    operation, _, done = window.position.removeprefix(_BULK).partition("#")
    if not operation:
        operation = _start(account, wire)
        yield Page((), f"{_BULK}{operation}#0")
    nodes: list[dict[str, Any]] = []
    address = _finished(wire, operation, account.patience.sleep)
    for begin, node in _objects(wire, address, int(done or 0)):
        if len(nodes) >= BULK_ROWS:
            yield Page(_rows(account, nodes), f"{_BULK}{operation}#{begin}")
            nodes = []
        nodes.append(node)
    yield Page(_rows(account, nodes), "")


def _start(account: Account, wire: Wire) -> str:
    run = _ask(wire, _RUN, {"query": _ALL[account.source.dataset]})["bulkOperationRunQuery"]
    if run["userErrors"]:
        message = run["userErrors"][0]["message"]
        if "already in progress" in message.lower():
            raise TransientError(f"{wire.title}: another bulk operation is running.", wait_seconds=300)
        raise RejectedError(f"{wire.title}: the bulk operation was refused ({message}).")
    return str(run["bulkOperation"]["id"])


def _finished(wire: Wire, operation: str, sleep: Callable[[float], None]) -> str:
    """Address of the operation's file; empty when it found nothing."""
    waited, pause = 0.0, 1.0
    while waited <= BULK_SECONDS:
        found = _ask(wire, _STATUS, {"id": operation})["bulkOperation"]
        if found is None or found["status"] in {"FAILED", "EXPIRED", "CANCELED", "CANCELING"}:
            reason = found and (found["errorCode"] or found["status"])
            raise RejectedError(f"{wire.title}: the bulk operation ended without a file ({reason or 'unknown'}).")
        if found["status"] == "COMPLETED":
            return str(found["url"] or "")
        sleep(pause)
        waited, pause = waited + pause, min(pause * 2, 30.0)
    raise TransientError(f"{wire.title}: the bulk operation did not end within a day.")


def _objects(wire: Wire, address: str, skip: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each object of the file with its lines, and the number of the file's line where it begins."""
    if not address:
        return
    current: dict[str, Any] | None = None
    begin = 0
    for number, text in enumerate(wire.lines(address)):
        if number < skip or not text:
            continue
        found = json.loads(text)
        if found.get("__parentId"):
            if current is not None:
                current["lines"].append(found)
            continue
        if current is not None:
            yield begin, current
        current, begin = {**found, "lines": []}, number
    if current is not None:
        yield begin, current


def _rows(account: Account, nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    told = _order_event if account.source.dataset is Dataset.ORDERS else _customer_event
    return [row for node in nodes if (event := told(node)) is not None for row in event_rows(event)]


def _order_event(node: Mapping[str, Any]) -> Event | None:
    if not node["lines"]:
        return None
    return shopify_order(
        {
            "id": _number(node["id"]),
            "email": node["email"],
            "phone": node["phone"],
            "created_at": node["createdAt"],
            "updated_at": node["updatedAt"],
            "processed_at": node["processedAt"],
            "cancelled_at": node["cancelledAt"],
            "test": node["test"],
            "currency": node["currencyCode"],
            "customer": {"id": _number(node["customer"]["id"])} if node["customer"] else None,
            "line_items": [_line(line) for line in node["lines"]],
        }
    )


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    price = Decimal(line["originalUnitPriceSet"]["shopMoney"]["amount"])
    paid = Decimal(line["discountedUnitPriceAfterAllDiscountsSet"]["shopMoney"]["amount"])
    return {
        "id": _number(line["id"]),
        "sku": line["sku"],
        "product_id": _number(line["product"]["id"]) if line["product"] else None,
        "quantity": line["quantity"],
        "current_quantity": line["currentQuantity"],
        "price": price,
        "discount_allocations": [{"amount": (price - paid) * line["quantity"]}],
    }


def _customer_event(node: Mapping[str, Any]) -> Event:
    mail, phone, address = node["defaultEmailAddress"], node["defaultPhoneNumber"], node["defaultAddress"]
    return shopify_customer(
        {
            "id": _number(node["id"]),
            "email": mail and mail["emailAddress"],
            "phone": phone and phone["phoneNumber"],
            "first_name": node["firstName"],
            "last_name": node["lastName"],
            "created_at": node["createdAt"],
            "updated_at": node["updatedAt"],
            "default_address": address and {"zip": address["zip"], "country_code": address["countryCodeV2"]},
            "email_marketing_consent": {"state": mail and mail["marketingState"]},
        },
        EventKind.PROFILE_UPDATE,
    )


def _number(gid: str) -> int:
    """``gid://shopify/Order/450789469`` → 450789469, as webhooks name it."""
    return int(gid.rsplit("/", 1)[-1])


def _time(at: datetime | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _ask(wire: Wire, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    path = f"/admin/api/{API_VERSION}/graphql.json"
    answer = wire.call("POST", path, json={"query": query, "variables": dict(variables or {})}).json()
    return dict(answer["data"])


def _fault(response: httpx.Response) -> SegmentationError | None:
    """Problems that GraphQL tells with status 200: throttled, not allowed, not understood."""
    if not response.is_success or not response.headers.get("content-type", "").startswith("application/json"):
        return None
    answer = response.json()
    problems = answer.get("errors") if isinstance(answer, dict) else None
    if not problems:
        return None
    codes = {str(one.get("extensions", {}).get("code", "")) for one in problems if isinstance(one, dict)}
    if "THROTTLED" in codes:
        return TransientError("Shopify: throttled.", wait_seconds=_restored(answer))
    if "ACCESS_DENIED" in codes:
        return ConfigurationError("Shopify: the app may not read this. Grant read_orders and read_customers.")
    return RejectedError(f"Shopify: the query was refused ({', '.join(sorted(codes)) or 'no code'}).")


def _restored(answer: Mapping[str, Any]) -> float:
    """Seconds until the bucket holds what the query costs."""
    cost = answer.get("extensions", {}).get("cost", {})
    status = cost.get("throttleStatus", {})
    lacking = float(cost.get("requestedQueryCost", 100)) - float(status.get("currentlyAvailable", 0))
    return max(0.5, lacking / max(float(status.get("restoreRate", 100)), 1.0))


def _wire(account: Account) -> Wire:
    base = account.source.options.get("address") or f"https://{account.option('shop')}.myshopify.com"
    return Wire(f"Shopify {urlsplit(base).hostname}", base, _authorizer(account), 4.0, account.patience, _fault)


def _authorizer(account: Account) -> Callable[[Wire], dict[str, str]]:
    """A token as it is, or one asked for with ``{"client_id": …, "client_secret": …}``; asked anew before it ends."""
    secret = account.need_secret()

    def authorize(wire: Wire) -> dict[str, str]:
        if not secret.lstrip().startswith("{"):
            return {"X-Shopify-Access-Token": secret}
        keys = json.loads(secret)
        form = {"grant_type": "client_credentials", **{name: keys[name] for name in ("client_id", "client_secret")}}
        answer = wire.call("POST", "/admin/oauth/access_token", data=form, authorized=False)
        return {"X-Shopify-Access-Token": str(answer.json()["access_token"])}

    return authorize


CONNECTOR = Connector(
    slug="shopify",
    title="Shopify",
    docs="https://shopify.dev/docs/api/admin-graphql",
    datasets=frozenset({Dataset.ORDERS, Dataset.CUSTOMERS}),
    options=frozenset({"shop", "address"}),
    read=read,
    check=check,
)
