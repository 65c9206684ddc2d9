"""Shopify customers: metafields with definitions, written in atomic calls of 25, or as a bulk mutation for volume.

Only customers who exist are enriched; consent is read and never written. A field is named ``namespace.key``. Marketers
build customer segments on the metafields.

Unverified, so handled both ways: the HTTP status of a throttled call (200 or 429), line numbers in bulk results (the
order of lines where they are absent), static tokens beside client credentials.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from tasks.destinations.platform import (
    Address, Answer, AppAccount, Change, Key, Kind, Known, Limits, Member, OptOut, Part, Person, Platform, Receipt,
    Session, Target, Thing, Volume, by_cursor, chunks, client_credentials, delivered, divided, finished, rejected,
    remembered, secret_in, text, unknown,
)  # fmt: skip
from tasks.errors import ConfigurationError, RejectedError, TransientError

VERSION = "2026-07"
METAFIELDS, ALIASES = 25, 50
FAILED = {"FAILED", "CANCELED", "EXPIRED"}
SET = (
    "mutation S($m:[MetafieldsSetInput!]!){metafieldsSet(metafields:$m)"
    "{metafields{id} userErrors{field message code elementIndex}}}"
)
DELETE = (
    "mutation D($m:[MetafieldIdentifierInput!]!){metafieldsDelete(metafields:$m)"
    "{deletedMetafields{key} userErrors{field message}}}"
)
DEFINITIONS = (
    "query($n:String!){metafieldDefinitions(ownerType:CUSTOMER,namespace:$n,first:100){nodes{id key type{name}}}}"
)
DEFINE = (
    "mutation($d:MetafieldDefinitionInput!){metafieldDefinitionCreate(definition:$d)"
    "{createdDefinition{id} userErrors{field message code}}}"
)
UPLOAD = (
    "mutation($i:[StagedUploadInput!]!){stagedUploadsCreate(input:$i)"
    "{stagedTargets{url parameters{name value}} userErrors{field message}}}"
)
RUN = (
    "mutation($m:String!,$p:String!){bulkOperationRunMutation(mutation:$m,stagedUploadPath:$p)"
    "{bulkOperation{id status} userErrors{field message}}}"
)
OPERATION = "query($id:ID!){bulkOperation(id:$id){status errorCode url}}"
OPTED_OUT = (
    "query($q:String!,$after:String){customers(first:250,after:$after,query:$q){nodes{defaultEmailAddress"
    "{emailAddress marketingState marketingUpdatedAt}} pageInfo{hasNextPage endCursor}}}"
)
ERASE = "mutation($id:ID!){customerRequestDataErasure(customerId:$id){customerId userErrors{field message code}}}"
FILE = {"resource": "BULK_MUTATION_VARIABLES", "filename": "rs.jsonl", "mimeType": "text/jsonl", "httpMethod": "POST"}
TYPES = {
    Kind.NUMBER: "number_decimal",
    Kind.INTEGER: "number_integer",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.INSTANT: "date_time",
    Kind.TEXTS: "list.single_line_text_field",
}


class ShopifyAccount(AppAccount):
    """The shop's address with a static token, or with client id and secret of the organisation's own app."""

    base: Address


def fault(response: httpx.Response) -> Exception | None:
    """Throttling and refusals that GraphQL says inside a 200; the wait follows from the bucket's own numbers."""
    if b'"errors"' not in response.content or response.status_code not in {httpx.codes.OK, 429}:
        return None
    try:
        body = orjson.loads(response.content)
        error = body["errors"][0]
        code = (error.get("extensions") or {}).get("code", "")
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return None
    if code == "THROTTLED":
        cost = (body.get("extensions") or {}).get("cost") or {}
        state = cost.get("throttleStatus") or {}
        lacking = cost.get("requestedQueryCost", 0) - state.get("currentlyAvailable", 0)
        return TransientError("Shopify: throttled", wait_seconds=max(lacking, 0) / state.get("restoreRate", 50))
    if code in {"ACCESS_DENIED", "UNAUTHORIZED"}:
        return ConfigurationError(f"Shopify: {error.get('message', code)}. Check the credentials and the app's scopes.")
    return RejectedError(f"Shopify: {error.get('message', code)}")


def ask(session: Session, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One GraphQL operation; returns its ``data``."""
    body = {"query": query, "variables": dict(variables or {})}
    found: dict[str, Any] = session.call("POST", f"/admin/api/{VERSION}/graphql.json", json=body).json()["data"]
    return found


def shape(member: Member, target: Target) -> Part:
    """What to set and what to clear; every value is a string, lists are JSON."""
    sets, clears = [], []
    for one in target.fields:
        namespace, _, key = one.theirs.partition(".")
        value = member.values.get(one.theirs)
        if value is None:
            clears.append({"namespace": namespace, "key": key})
        else:
            said = orjson.dumps(value).decode() if isinstance(value, list) else text(value)
            sets.append({"namespace": namespace, "key": key, "type": _type(one.kind), "value": said})
    return Part(member, {"set": sets, "clear": clears})


def _type(kind: Kind | None) -> str:
    return TYPES.get(kind or Kind.TEXT, "single_line_text_field")


def push(session: Session, _target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """Metafields of as many whole customers as one atomic call takes; who spoils the call is left out and told."""
    ids = _ids(session, parts)
    there, absent = divided(parts, ids)
    yield from map(_absent, absent)
    most = max((len(part.body["set"]) for part in there), default=0)
    for some in chunks(there, max(1, METAFIELDS // max(most, 1))):
        yield from _set(session, some, ids)
    _clear(session, there, ids)


def _absent(part: Part) -> Answer:
    """Whoever has nothing to be set may as well be absent."""
    return unknown(part) if part.body["set"] else delivered(part)


def _set(session: Session, parts: Sequence[Part], ids: Mapping[str, str]) -> Iterator[Answer]:
    fields = [(part, {"ownerId": ids[part.member.customer_id], **one}) for part in parts for one in part.body["set"]]
    errors = ask(session, SET, {"m": [one for _, one in fields]})["metafieldsSet"]["userErrors"] if fields else []
    bad: dict[str, Answer] = {}
    for error in errors:
        if error.get("elementIndex") is None:
            raise RejectedError(f"Shopify: {error['message']}")
        part = fields[error["elementIndex"]][0]
        bad[part.member.customer_id] = rejected(part, error.get("code") or "INVALID", error["message"])
    yield from bad.values()
    rest = [part for part in parts if part.member.customer_id not in bad]
    if bad and rest:
        yield from _set(session, rest, ids)
    elif not bad:
        yield from (delivered(part, ids[part.member.customer_id]) for part in rest)


def _clear(session: Session, parts: Sequence[Part], ids: Mapping[str, str]) -> None:
    """Remove metafields; one that is not there comes back as null, without an error."""
    gone = ({"ownerId": ids[part.member.customer_id], **one} for part in parts for one in part.body["clear"])
    for some in chunks(gone, METAFIELDS):
        ask(session, DELETE, {"m": some})


def push_volume(session: Session, _target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """A bulk mutation: one line per customer, uploaded, run, awaited, and read line by line."""
    ids = _ids(session, parts)
    here, absent = divided(parts, ids)
    yield from map(_absent, absent)
    _clear(session, here, ids)
    yield from (delivered(part, ids[part.member.customer_id]) for part in here if not part.body["set"])
    there = [part for part in here if part.body["set"]]
    if not there:
        return
    lines = ({"m": [{"ownerId": ids[p.member.customer_id], **one} for one in p.body["set"]]} for p in there)
    path = _upload(session, b"\n".join(map(orjson.dumps, lines)))
    for place, result in enumerate(_run(session, path)):
        part = there[result.get("__lineNumber", place)]
        errors = (result.get("data") or {}).get("metafieldsSet", {}).get("userErrors", result.get("errors") or [])
        if errors:
            yield rejected(part, errors[0].get("code") or "INVALID", errors[0]["message"])
        else:
            yield delivered(part, ids[part.member.customer_id])


def _upload(session: Session, content: bytes) -> str:
    place = ask(session, UPLOAD, {"i": [FILE]})["stagedUploadsCreate"]["stagedTargets"][0]
    form = {one["name"]: one["value"] for one in place["parameters"]}
    session.call("POST", place["url"], data=form, files={"file": ("rs.jsonl", content, "text/jsonl")}, authorized=False)
    return str(form["key"])


def _run(session: Session, path: str) -> Iterator[dict[str, Any]]:
    started = ask(session, RUN, {"m": SET, "p": path})["bulkOperationRunMutation"]
    if started["userErrors"]:
        raise TransientError(f"Shopify: {started['userErrors'][0]['message']}", wait_seconds=60.0)

    def look() -> Any:
        return ask(session, OPERATION, {"id": started["bulkOperation"]["id"]})["bulkOperation"]

    state = finished(session, look, what="bulk operation", good={"COMPLETED"}, bad=FAILED, every_seconds=10.0)
    lines = session.call("GET", state["url"], authorized=False).content.splitlines()
    return (orjson.loads(line) for line in lines if line)


def _ids(session: Session, parts: Sequence[Part]) -> dict[str, str]:
    """Our customer id → Shopify's, remembered or found by address, many in one question."""
    ids = remembered(parts)
    for some in chunks((part for part in parts if not part.member.native_id), ALIASES):
        head = ",".join(f"$e{i}:String!" for i in range(len(some)))
        body = " ".join(f"c{i}:customerByIdentifier(identifier:{{emailAddress:$e{i}}}){{id}}" for i in range(len(some)))
        found = ask(session, f"query({head}){{{body}}}", {f"e{i}": part.member.key for i, part in enumerate(some)})
        ids |= {part.member.customer_id: one["id"] for i, part in enumerate(some) if (one := found[f"c{i}"])}
    return ids


def known(session: Session, target: Target) -> Known:
    """The definitions in our namespaces."""
    found = {}
    for namespace in sorted({f.theirs.partition(".")[0] for f in target.fields}):
        for one in ask(session, DEFINITIONS, {"n": namespace})["metafieldDefinitions"]["nodes"]:
            found["field", f"{namespace}.{one['key']}"] = one["id"]
    return found


def create(session: Session, _target: Target, thing: Thing) -> str:
    """A definition, without which customer segments cannot use the metafield."""
    namespace, _, key = thing.name.partition(".")
    name = key.replace("_", " ")
    asked = {"name": name, "namespace": namespace, "key": key, "ownerType": "CUSTOMER", "type": _type(thing.type)}
    body = ask(session, DEFINE, {"d": asked})["metafieldDefinitionCreate"]
    if body["userErrors"]:
        raise RejectedError(f"Shopify: {body['userErrors'][0]['message']}")
    return str(body["createdDefinition"]["id"])


def check(session: Session, _target: Target) -> str:
    """Whose shop the token opens."""
    return f"shop {ask(session, 'query{shop{name}}')['shop']['name']}"


def opt_outs(session: Session, _target: Target, since: datetime | None, _people: Iterable[Person]) -> Iterable[OptOut]:
    """Customers changed since then whose address is unsubscribed, redacted or invalid."""
    query = f"updated_at:>='{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'" if since else ""

    def page(after: str | None) -> tuple[list[dict[str, Any]], str | None]:
        found = ask(session, OPTED_OUT, {"q": query, "after": after})["customers"]
        return found["nodes"], found["pageInfo"]["endCursor"] if found["pageInfo"]["hasNextPage"] else None

    for one in by_cursor(page):
        said = one["defaultEmailAddress"] or {}
        if said.get("marketingState") in {"UNSUBSCRIBED", "REDACTED", "INVALID"}:
            yield OptOut(Key.EMAIL, said["emailAddress"], said["marketingState"].lower())


def erase(session: Session, target: Target, people: Sequence[Person]) -> Iterable[Receipt]:
    """Request the erasure of the customer's data and clear our metafields at once."""
    for person in people:
        member = Member(person.customer_id, Change.LEAVE, person.email or "", native_id=person.native_id)
        part = shape(member, target)
        ids = _ids(session, [part])
        if not ids:
            yield Receipt(person.customer_id, done=True, note="was not there")
            continue
        _clear(session, [part], ids)
        body = ask(session, ERASE, {"id": ids[person.customer_id]})["customerRequestDataErasure"]
        errors = body["userErrors"]
        note = errors[0]["message"] if errors else "Shopify erases after its own waiting period"
        yield Receipt(person.customer_id, done=not errors, reference=ids[person.customer_id], note=note)


PLATFORM = Platform(
    slug="shopify", title="Shopify", api_version=VERSION, keys=(Key.EMAIL,), account=ShopifyAccount,
    docs="https://shopify.dev/docs/api/admin-graphql/2026-07/mutations/metafieldsSet",
    limits=Limits(rows=25, bytes=5_000_000, per_second=8.0, parallel=2),
    volume=Volume(above=500, limits=Limits(rows=20_000, bytes=90_000_000, per_second=8.0), push=push_volume),
    headers=secret_in("X-Shopify-Access-Token"),
    token=client_credentials("/admin/oauth/access_token"),
    fault=fault, shape=shape, push=push, check=check, known=known, create=create, opt_outs=opt_outs, erase=erase,
    rename=lambda name: name.replace("_", ".", 1),
)  # fmt: skip
