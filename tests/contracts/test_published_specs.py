"""What is sent to a stand-in also satisfies the vendor's published specification, request by request."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parents[1] / "destinations"))

from world import customer

from tasks.config import DestinationSettings
from tasks.destinations.accounts import account_of
from tasks.destinations.answers import Conversation
from tasks.destinations.desired import chosen_fields, key_of
from tasks.destinations.http import HttpSession, TokenStore
from tasks.destinations.limits import batches, unpaced
from tasks.destinations.platform import Change, Key, Kind, Member, Person, Target
from tasks.destinations.prepare import prepare
from tasks.destinations.registry import platform_of
from tasks.destinations.rehearsal.fake import Request, serve
from tasks.destinations.rehearsal.stage import all_fakes

SPECS = Path(__file__).parents[3] / "shared" / "specs"
SAMPLE: dict[Kind, Any] = {Kind.TEXT: "vip", Kind.NUMBER: 12.5, Kind.INTEGER: 7, Kind.TEXTS: ["sku-1", "sku-2"]}


def spec(name: str) -> Any:
    path = SPECS / name
    if not path.exists():
        pytest.skip(f"the vendor's specification {name} is not at hand (it is not part of this project)")
    return yaml.safe_load(path.read_text()) if path.suffix in {".json", ".yaml"} else path.read_text()


def a_life_on(
    slug: str, *, volume: bool = False, through: Callable[[str], AbstractContextManager[str]] = nullcontext
) -> list[Request]:
    """Every request of preparing, entering, changing, leaving, reading opt-outs and erasing, for Ana and Ben.

    ``through`` puts something between the engine and the stand-in: given the one's address, it yields its own.
    """
    platform = platform_of(slug).sized(10**9 if volume else 1)
    with serve(all_fakes()[slug]()) as fake, through(fake.address) as fake.address:
        fake.seed([customer("ana"), customer("ben")])
        destination = DestinationSettings(platform=slug, secret="s", settings=fake.settings())
        account = account_of(platform, destination, SecretStr(fake.secret))
        fields = chosen_fields(destination, platform)
        key = key_of(destination, platform)
        lists = ("vip", "loyal") if platform.uses_lists else ()
        session = HttpSession(platform, account, slug, unpaced, sleep=lambda _: None, tokens=TokenStore())
        ids = {"ana": "", "ben": ""}

        def member(name: str, change: Change) -> Member:
            email = f"{name}@example.com"
            own = {"email": email, "first_name": name.title(), "last_name": "Example"}
            leaving = change is Change.LEAVE
            values = {
                f.theirs: None if leaving else own.get(f.ours, SAMPLE[f.kind]) for f in fields if f.owned or not leaving
            }
            mine = () if leaving else lists[:1]
            gone = lists[:1] if leaving else ()
            return Member(name, change, {Key.EMAIL: email}.get(key, name), email, None, values,
                          lists=mine, joins=mine, leaves=gone, native_id=ids[name])  # fmt: skip

        with session:
            platform.check(session, Target("here", account, fields, lists))
            target, _ = prepare(platform, session, Target("here", account, fields, lists, push_id="p", key=key))
            talk = Conversation(platform, session, target)
            for change, names in ((Change.ENTER, ["ana", "ben"]), (Change.UPDATE, ["ben"]), (Change.LEAVE, ["ana"])):
                parts = [platform.shape(member(name, change), target) for name in names]
                for batch in batches(parts, platform.limits):
                    for answer in talk.deliver(batch):
                        assert answer.verdict == "delivered", answer
                        ids[answer.customer_id] = answer.native_id or ids[answer.customer_id]
            list(platform.opt_outs(session, target, None, [Person("ben", "ben@example.com", None, ids["ben"])]))
            list(platform.erase(session, target, [Person("ben", "ben@example.com", None, ids["ben"])]))
        assert fake.complaints == []
        return fake.seen


def checked_by_openapi(seen: list[Request], document: dict[str, Any], host: str, prefix: str = "") -> Iterator[str]:
    """Validate every request the document knows; yields the operations that were checked."""
    from openapi_core import OpenAPI
    from openapi_core.testing import MockRequest

    document = {**document, "servers": [{"url": host + prefix}]}
    for path in document["paths"].values():
        path.pop("servers", None)
    api = OpenAPI.from_dict(document)
    for one in seen:
        if not _known(document, one):
            continue
        request = MockRequest(
            host, one.method.lower(), prefix + one.path, args=dict(one.query), headers=dict(one.headers),
            data=one.body or None, content_type=one.headers.get("content-type", "application/json"),
        )  # fmt: skip
        api.validate_request(request)
        yield f"{one.method} {one.path}"


def _known(document: dict[str, Any], one: Request) -> bool:
    def same(template: str) -> bool:
        mine, theirs = one.path.split("/"), template.split("/")
        return len(mine) == len(theirs) and all(t.startswith("{") or t == m for m, t in zip(mine, theirs, strict=True))

    return any(
        same(template) and one.method.lower() in operations for template, operations in document["paths"].items()
    )


def test_hubspot_keeps_its_contract() -> None:
    checked = set(
        checked_by_openapi(
            a_life_on("hubspot"), spec("hubspot/hubspot-contacts.authored.yaml"), "https://api.hubapi.com"
        )
    )
    assert checked >= {
        "POST /crm/v3/objects/contacts/batch/upsert",
        "POST /crm/v3/objects/contacts/batch/read",
        "POST /crm/v3/objects/contacts/gdpr-delete",
        "POST /crm/v3/properties/contacts",
        "POST /crm/v3/properties/contacts/groups",
    }


def test_klaviyo_keeps_its_specification() -> None:
    document = spec("klaviyo/klaviyo-2026-07-15.trimmed.json")
    checked = set(checked_by_openapi(a_life_on("klaviyo"), document, "https://a.klaviyo.com"))
    assert {one.partition("/job-")[0] for one in checked} >= {
        "GET /api/accounts",
        "POST /api/profile-bulk-import-jobs",
        "GET /api/profile-bulk-import-jobs",
        "GET /api/profiles",
        "POST /api/data-privacy-deletion-jobs",
    }


def test_intercom_keeps_its_specification() -> None:
    document = spec("intercom/intercom-2.14.trimmed.yaml")
    checked = set(checked_by_openapi(a_life_on("intercom"), document, "https://api.intercom.io"))
    assert checked >= {"POST /contacts", "POST /data_attributes", "GET /data_attributes", "POST /contacts/search"}
    assert any(one.startswith("PUT /contacts/") for one in checked)


@pytest.mark.parametrize(
    ("file", "operations"),
    [
        ("mc_contacts", {"PUT /v3/marketing/contacts", "POST /v3/marketing/contacts/search/emails"}),
        ("mc_lists", {"POST /v3/marketing/lists", "GET /v3/marketing/lists"}),
        ("mc_custom_fields", {"POST /v3/marketing/field_definitions"}),
        ("recipients_data_erasure", {"POST /v3/recipients/erasejob"}),
        ("suppressions", {"GET /v3/suppression/unsubscribes", "GET /v3/suppression/bounces"}),
        ("scopes", {"GET /v3/scopes"}),
    ],
)
def test_sendgrid_keeps_its_specifications(file: str, operations: set[str]) -> None:
    document = spec(f"sendgrid/tsg_{file}_v3.json")
    assert set(checked_by_openapi(a_life_on("sendgrid"), document, "https://api.sendgrid.com")) >= operations


def test_mailchimp_keeps_its_specification() -> None:
    """Swagger 2.0: bodies are checked against the schemas of their operations, query names against the parameters."""
    from jsonschema import Draft4Validator

    document = spec("mailchimp/mailchimp-marketing-3.0.55.trimmed.json")
    checked = set()
    for one in a_life_on("mailchimp"):
        path = next(p for p in document["paths"] if _known({"paths": {p: document["paths"][p]}}, one))
        operation = document["paths"][path][one.method.lower()]
        parameters = {p["name"]: p for p in operation.get("parameters", [])}
        assert set(one.query) <= set(parameters), (path, one.query)
        body = next((p for p in parameters.values() if p["in"] == "body"), None)
        if body is not None and one.body:
            Draft4Validator({**body["schema"], "definitions": document.get("definitions", {})}).validate(one.json)
        checked.add(f"{one.method} {path}")
    assert checked >= {
        "POST /lists/{list_id}",
        "POST /lists/{list_id}/merge-fields",
        "POST /lists/{list_id}/segments",
        "POST /lists/{list_id}/segments/{segment_id}",
        "GET /lists/{list_id}/members",
        "POST /lists/{list_id}/members/{subscriber_hash}/actions/delete-permanent",
    }


@pytest.mark.parametrize("volume", [False, True])
def test_every_graphql_operation_fits_shopifys_schema(volume: bool) -> None:
    from graphql import build_schema, parse, validate
    from graphql.execution.values import get_variable_values

    schema = build_schema(spec("shopify/admin-2026-07.trimmed.graphql"), assume_valid=True)
    operations = set()
    for one in a_life_on("shopify", volume=volume):
        if not one.path.endswith("/graphql.json"):
            continue
        document = parse(one.json["query"])
        assert validate(schema, document) == []
        definition = document.definitions[0]
        values = get_variable_values(schema, definition.variable_definitions or (), one.json["variables"])
        assert not isinstance(values, list), values
        operations.add(definition.selection_set.selections[0].name.value)
        if "m" in one.json["variables"] and isinstance(one.json["variables"]["m"], str):
            assert validate(schema, parse(one.json["variables"]["m"])) == []
    assert operations >= {"shop", "metafieldDefinitions", "metafieldDefinitionCreate", "customerByIdentifier",
                          "metafieldsDelete", "customers", "customerRequestDataErasure"}  # fmt: skip
    assert ("bulkOperationRunMutation" if volume else "metafieldsSet") in operations
