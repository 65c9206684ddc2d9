"""Every request of a day of drafts against SendGrid's published descriptions of its API."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import SecretStr

from tasks.campaigns.sendgrid_account import read_suppressions
from tasks.campaigns.sendgrid_wire import ALLOWED, Wire
from tasks.campaigns.settings import SendGridSettings
from tasks.lake import Lake
from tests.campaigns.fake_sendgrid import API_KEY, FakeSendGrid, Request, serve
from tests.campaigns.town import AS_OF, Resident, Town
from tests.conftest import SHARED

SPECS = SHARED / "specs" / "sendgrid"
pytestmark = pytest.mark.skipif(not SPECS.is_dir(), reason="SendGrid's API descriptions are not on this machine")


def operations() -> Iterator[tuple[str, re.Pattern[str], dict[str, Any], dict[str, Any]]]:
    for path in sorted(SPECS.glob("*.json")):
        document = json.loads(path.read_text())
        for address, methods in document["paths"].items():
            pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(address)))
            for method in ("get", "post", "put", "patch", "delete"):
                if method in methods:
                    shared = methods.get("parameters", [])
                    yield method.upper(), pattern, {**methods[method], "shared": shared}, document


def resolve(value: Any, document: dict[str, Any]) -> Any:
    while isinstance(value, dict) and "$ref" in value:
        found: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        value = found
    return value


def problems(request: Request) -> list[str]:
    """What the published description says against a request."""
    for method, pattern, operation, document in OPERATIONS:
        if method == request.method and pattern.fullmatch(request.path):
            return [*_query(request, operation, document), *_body(request, operation, document)]
    return [f"{request.method} {request.path} is in no description"]


def _query(request: Request, operation: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    listed = [resolve(one, document) for one in (*operation.get("parameters", []), *operation["shared"])]
    known = {one["name"]: one for one in listed if one.get("in") == "query"}
    for name, texts in request.query.items():
        if name not in known:
            yield f"query {name} of {request.path} is not described"
        elif known[name].get("schema", {}).get("type") == "integer" and not texts[0].isdigit():
            yield f"query {name} is not a number"
    yield from (f"query {n} is missing" for n, one in known.items() if one.get("required") and n not in request.query)


def _body(request: Request, operation: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    described = resolve(operation.get("requestBody"), document)
    if not described:
        if request.body is not None:
            yield f"{request.path} takes no body"
        return
    schema = described["content"]["application/json"]["schema"]
    whole = {"$ref": "#/wanted", "wanted": schema, "components": document["components"]}
    for error in Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(request.body):
        yield f"{request.method} {request.path}: {error.json_path} {error.message[:200]}"
    stray = set(request.body or {}) - set(_names(schema, document))
    if stray:
        yield f"{request.method} {request.path}: {sorted(stray)} not described"


def _names(schema: Any, document: dict[str, Any]) -> Iterator[str]:
    resolved = resolve(schema, document)
    yield from resolved.get("properties", {})
    yield from resolved.get("example", {})  # the subject of a new design stands in the example only
    for part in (*resolved.get("allOf", []), *resolved.get("oneOf", []), *resolved.get("anyOf", [])):
        yield from _names(part, document)


# A literal path before one with a variable in its place, as in "search" and "{id}".
OPERATIONS = sorted(operations(), key=lambda one: one[1].pattern.count("[^/]+")) if SPECS.is_dir() else []


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    """All requests of three days with changes, opt-outs, refused rows and suppressions."""
    with serve() as fake:
        folder: Path = tmp_path_factory.mktemp("lake")
        return three_days(fake, Lake(root=str(folder), threads=2))


def three_days(fake: FakeSendGrid, lake: Lake, through: str = "") -> list[Request]:
    """Live three days at the account, asked at its own address or ``through`` another; all requests of them."""
    settings = SendGridSettings(sender_id=1, suppression_group_id=103, base_url=through or fake.url)
    wire = Wire(SecretStr(API_KEY), settings, clock=lambda: 0.0, sleep=lambda _seconds: None)
    residents = tuple(Resident(name, "new") for name in ("Ana", "Bob", "Cleo", "Dan", "Eve"))
    town = Town(lake, residents, sendgrid=settings)
    fake.refused["eve@example.com"] = "not valid"
    fake.error_file = False
    read_suppressions(wire)
    town.settle().make(applied=True, wire=wire)
    design = next(iter(fake.designs.values()))
    design["html_content"] += "<!-- somebody changed the design -->"
    town.make(applied=True, wire=wire)
    later = AS_OF + timedelta(days=1)
    town.settle(later)
    town.says_no("Bob", at=datetime(2017, 11, 16, tzinfo=UTC))
    town.make(date(2017, 11, 16), applied=True, wire=wire)
    return fake.requests


def test_every_request_is_as_described(recorded):
    assert [problem for request in recorded for problem in problems(request)] == []


def test_every_request_that_the_door_allows_was_made_and_is_described(recorded):
    made = {(method, pattern.pattern) for method, pattern in ALLOWED for request in recorded
            if request.method == method and pattern.fullmatch(request.path)}  # fmt: skip
    assert made == {(method, pattern.pattern) for method, pattern in ALLOWED}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v3/marketing/singlesends", {"subject": "no name"}),
        ("POST", "/v3/marketing/singlesends", {"name": "x" * 101}),
        ("PUT", "/v3/marketing/contacts", {"contacts": []}),
        ("PUT", "/v3/marketing/contacts", {"contacts": [{"email": 5}]}),
        ("POST", "/v3/designs", {"name": "x"}),
        ("POST", "/v3/marketing/field_definitions", {"name": "x", "field_type": "String"}),
        ("POST", "/v3/nothing", {}),
    ],
)
def test_a_wrong_request_is_noticed(method, path, body):
    assert problems(Request(method, path, {}, {}, body))
