"""Drafts and pushes through Stoplight Prism: vendors' descriptions judge our requests and the stand-ins' answers."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.campaigns.sendgrid_wire import ALLOWED
from tasks.lake import Lake
from tests.campaigns.fake_sendgrid import API_KEY, FakeSendGrid, serve
from tests.conftest import SHARED
from tests.contracts.test_published_specs import a_life_on
from tests.contracts.test_sendgrid_requests import three_days
from tests.e2e.prism import Proxy, needs_prism, prism

SPECS = SHARED / "specs"
pytestmark = [
    pytest.mark.e2e,
    needs_prism,
    pytest.mark.skipif(not SPECS.is_dir(), reason="the vendors' API descriptions are not on this machine"),
]
# Platform → its description, and what is wrong with that: a pattern of the objection, and why it is none.
DESCRIBED: dict[str, tuple[str, dict[str, str]]] = {
    "hubspot": ("hubspot/hubspot-contacts.authored.yaml", {
        r"(GET /crm/v3/properties/\S+|POST \S+/batch/update): request Selected route not found":
            "it holds a part of the interface only",
        r"POST \S+/batch/read: .* required property 'new'": "it lends the answer of upserts to reading",
    }),
    "intercom": ("intercom/intercom-2.14.trimmed.yaml", {
        r"POST /contacts: .* status code with those defined in the document: 200,401":
            "a contact that exists is a conflict (409), which it leaves out",
    }),
    "klaviyo": ("klaviyo/klaviyo-2026-07-15.trimmed.json", {}),
    "mailchimp": ("mailchimp/mailchimp-marketing-3.0.55.trimmed.json", {}),
    "sendgrid": ("", {
        r"DELETE /v3/marketing/contacts: .* job_id must be object": "the id of a job is a text, there as everywhere",
    }),
}  # fmt: skip
HEADERS = {"Authorization": f"Bearer {API_KEY}", "Accept": "application/json"}


def whole_sendgrid() -> dict[str, Any]:
    """SendGrid publishes a file per subject; paths differ, names of schemas do not, so these take the file's name."""
    whole: dict[str, Any] = {"paths": {}, "components": {}}
    for file in sorted((SPECS / "sendgrid").glob("*.json")):
        text = re.sub(r"#/components/(?!securitySchemes)(\w+)/", rf"#/components/\1/{file.stem}.", file.read_text())
        document = json.loads(text)
        assert not whole["paths"].keys() & document["paths"].keys()
        whole |= {name: document[name] for name in ("openapi", "info", "security")}
        whole["paths"] |= document["paths"]
        for kind, named in document["components"].items():
            before = "" if kind == "securitySchemes" else f"{file.stem}."
            whole["components"].setdefault(kind, {}).update({f"{before}{name}": one for name, one in named.items()})
    return whole


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of SendGrid in one file."""
    file = tmp_path_factory.mktemp("prism") / "sendgrid.json"
    file.write_text(json.dumps(whole_sendgrid()))
    return file


@pytest.fixture(scope="module")
def days(description: Path) -> Iterator[tuple[Proxy, FakeSendGrid]]:
    """Three days of drafts, with slow jobs, opt-outs, refused rows and a design that somebody changed."""
    with serve() as fake, prism(description, fake.url) as proxy:
        fake.polls_needed = 1
        three_days(fake, Lake(root=str(description.parent / "lake"), threads=2), through=proxy.address)
        yield proxy, fake


def test_prism_objects_to_no_request_and_to_no_answer_of_three_days_of_drafts(days):
    proxy, _ = days
    assert proxy.objections == []


def test_prism_saw_every_request_and_every_operation_that_the_door_allows(days):
    proxy, fake = days
    assert proxy.seen == [f"{one.method} {one.path}" for one in fake.requests]
    missing = {(method, pattern.pattern) for method, pattern in ALLOWED
               if not any(re.fullmatch(f"{method} {pattern.pattern}", one) for one in proxy.seen)}  # fmt: skip
    assert missing == set()


def test_prism_saw_nothing_that_schedules_or_sends(days):
    proxy, _ = days
    sending = re.compile(r"PUT .*singlesends|.*(schedule|/mail/|/test/|erasejob|send_email)")
    assert [one for one in proxy.seen if sending.match(one)] == []


@pytest.fixture(scope="module")
def strict(description: Path) -> Iterator[tuple[Proxy, FakeSendGrid]]:
    """A Prism that refuses, in front of an account that holds nothing."""
    with serve() as fake, prism(description, fake.url, "--errors") as proxy:
        yield proxy, fake


@pytest.mark.parametrize(
    ("method", "path", "body", "where"),
    [
        ("POST", "/v3/marketing/singlesends", {"name": "x" * 101}, ["body", "name"]),
        ("PUT", "/v3/marketing/contacts", {"contacts": []}, ["body", "contacts"]),
        ("PUT", "/v3/marketing/contacts", {"contacts": [{"email": 5}]}, ["body", "contacts", "0", "email"]),
        ("POST", "/v3/marketing/field_definitions", {"name": "x", "field_type": "String"}, ["body", "field_type"]),
        ("POST", "/v3/marketing/contacts/search/emails", {}, ["body"]),
    ],
)
def test_a_wrong_request_is_refused_before_it_arrives(strict, method, path, body, where):
    proxy, fake = strict
    answer = httpx.request(method, proxy.address + path, json=body, headers=HEADERS)
    assert (answer.status_code, fake.requests) == (422, [])
    assert where in [one["location"] for one in answer.json()["validation"]]


def test_a_request_that_is_in_no_description_or_carries_no_key_is_refused(strict):
    proxy, fake = strict
    assert httpx.post(f"{proxy.address}/v3/nothing", json={}, headers=HEADERS).status_code == 404
    assert httpx.get(f"{proxy.address}/v3/marketing/lists").status_code == 401
    assert fake.requests == []


def test_a_wrong_answer_is_noticed(strict):
    proxy, fake = strict
    asked = f"{proxy.address}/v3/marketing/senders/1"
    right = httpx.get(asked, headers=HEADERS)
    assert (right.status_code, "sl-violations" in right.headers) == (200, False)
    del fake.senders[1]["verified"]
    wrong = httpx.get(asked, headers=HEADERS)
    assert (wrong.status_code, "'verified'" in wrong.text) == (500, True)
    fake.requests.clear()


@pytest.mark.parametrize("slug", DESCRIBED)
def test_prism_objects_to_nothing_in_a_life_on_a_platform_but_to_what_its_description_gets_wrong(
    slug, description, tmp_path
):
    name, wrong = DESCRIBED[slug]
    file = tmp_path / Path(name or description).name
    file.write_text((SPECS / name if name else description).read_text())
    proxies: list[Proxy] = []

    @contextmanager
    def through(address: str) -> Iterator[str]:
        with prism(file, address) as proxy:
            proxies.append(proxy)
            yield proxy.address

    requests = a_life_on(slug, through=through)
    [proxy] = proxies
    assert len(proxy.seen) == len(requests) > 10
    assert [one for one in proxy.objections if not any(re.fullmatch(pattern, one) for pattern in wrong)] == []
    assert [pattern for pattern in wrong if not any(re.fullmatch(pattern, one) for one in proxy.objections)] == []
