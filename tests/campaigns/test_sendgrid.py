"""Drafts in SendGrid: what lies there afterwards, and what was asked for on the way."""

import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.campaigns import sendgrid_wire as wire_module
from tasks.campaigns.opt_outs import store
from tasks.campaigns.sendgrid_account import check_account, read_suppressions
from tasks.campaigns.sendgrid_wire import ForbiddenRequestError, check_request
from tasks.campaigns.settings import SendGridSettings
from tasks.errors import ConfigurationError, TransientError
from tasks.lake import Lake
from tests.campaigns.fake_sendgrid import FakeSendGrid, Fault
from tests.campaigns.newcomers import NAMES, WELCOME, Clock, account, newcomers, wire_to
from tests.campaigns.town import AS_OF, PERSON_KEY, PRODUCTS, Resident, Town, everybody_in


@pytest.fixture
def town(lake: Lake, sendgrid: FakeSendGrid) -> Town:
    return newcomers(lake, sendgrid, *NAMES)


def test_each_recipient_lies_on_the_list_of_a_draft_with_every_field_filled(town, sendgrid):
    summary = town.make(applied=True, wire=wire_to(sendgrid))
    [line] = summary.drafts
    assert (line.name, line.status, line.accepted) == (WELCOME, "draft", 3)
    assert sorted(sendgrid.on_list(WELCOME)) == ["ana@example.com", "bob@example.com", "cleo@example.com"]
    assert sendgrid.values("ana@example.com") == {
        "rs_greeting": "Hello Ana,",
        "rs_p1_name": "Rye bread", "rs_p1_reason": "Goes with butter, which you buy often",
        "rs_p1_note": "£3.90 · Only a few left", "rs_p1_link": "https://shop.example.com",
        "rs_p2_name": "Coffee beans", "rs_p2_reason": "Popular with customers like you",
        "rs_p2_note": "See product", "rs_p2_link": "https://shop.example.com",
        "rs_p3_name": "Fluid milk white only", "rs_p3_reason": "You usually buy it every 6 days",
        "rs_p3_note": "£2.49 · In stock", "rs_p3_link": "https://shop.example.com",
    }  # fmt: skip
    draft = sendgrid.draft(WELCOME)
    assert draft["status"] == "draft"
    assert draft["categories"] == ["rs", "welcome"]
    assert draft["email_config"]["suppression_group_id"] == 103
    assert draft["email_config"]["sender_id"] == 1
    assert "{{rs_greeting}}" in draft["email_config"]["html_content"]


@pytest.mark.parametrize("in_stock", [True, False])
def test_hostile_names_and_titles_arrive_harmless_and_complete(lake, sendgrid, in_stock):
    greeted = {"Ana": ("<b>Ana</b>", "Hello,"), "Bob": ("Bob 🎉", "Hello Bob 🎉,"), "Dan": (None, "Hello,"),
               "Miriam": ("מרים", "Hello \u2068מרים\u2069,"), "Eve": ("{{email}}", "Hello,")}  # fmt: skip
    residents = tuple(Resident(who, "new", first_name=typed) for who, (typed, _) in greeted.items())
    title = '"><script>alert(1)</script>' * 12
    products = [{**p, "name": title, "stock_on_hand": 9.0 if in_stock else 0.0} for p in PRODUCTS]
    town = Town(lake, residents, playbook=everybody_in("welcome"), sendgrid=account(sendgrid)).settle(products=products)
    [line] = town.make(applied=True, wire=wire_to(sendgrid)).drafts
    for who, (_, greeting) in greeted.items():
        values = sendgrid.values(f"{who.lower()}@example.com")
        assert values.pop("rs_greeting") == greeting
        assert len(values) == (12 if in_stock else 0)
        assert all(value.strip() and len(value) <= 90 and not set(value) & set("<>\"'{}") for value in values.values())
    assert "script" not in sendgrid.draft(line.name)["email_config"]["html_content"]


def test_a_second_run_changes_nothing_at_the_account(town, sendgrid):
    town.make(applied=True, wire=wire_to(sendgrid))
    sendgrid.requests.clear()
    [line] = town.make(applied=True, wire=wire_to(sendgrid)).drafts
    assert sendgrid.written() == []
    assert (line.unchanged, line.accepted, line.status) == (3, 0, "draft")


def test_a_plan_asks_the_account_nothing(town, sendgrid):
    [line] = town.make(applied=False, wire=wire_to(sendgrid)).drafts
    assert (sendgrid.requests, line.status) == ([], "planned")


def test_an_opt_out_between_plan_and_apply_never_reaches_the_wire(town, sendgrid):
    town.make(applied=False)
    assert town.members()["Ana"]["arm"] == "treated"
    town.says_no("Ana")
    town.make(applied=True, wire=wire_to(sendgrid))
    assert "ana" not in str([request.body for request in sendgrid.requests]).lower()
    assert (town.members()["Ana"]["arm"], town.members()["Ana"]["reason"]) == ("left_out", "said no to e-mail")


def test_whoever_is_suppressed_at_the_account_is_left_out(lake, sendgrid):
    kinds = {"Ana": "unsubscribes", "Bob": "bounces", "Cleo": "spam_reports", "Dan": "invalid_emails", "Eve": "group"}
    town = newcomers(lake, sendgrid, *kinds)
    noise = [f"stranger{number}@example.com" for number in range(700)]  # more than a page
    sendgrid.suppressions.update({kind: [*noise, f"{name}@Example.com"] for name, kind in kinds.items()})
    sendgrid.groups[103] = [*noise, "Eve@Example.com"]
    store(town.lake, read_suppressions(wire_to(sendgrid)), AS_OF, PERSON_KEY.get_secret_value())
    town.make(applied=True, wire=wire_to(sendgrid))
    assert sendgrid.contacts == {}
    told = {row["reason"] for row in town.members().values()}
    assert told == {"opted out, bounced or complained on a sending platform"}
    assert "@" not in str(town.lake.read(town.lake.latest("suppressions"), columns=["address_hash", "kind"]))


def test_reading_the_same_suppressions_again_writes_nothing_and_a_lifted_one_goes(town):
    first = store(town.lake, {"ana@example.com": "bounce"}, AS_OF, "key")
    again = store(town.lake, {"ana@example.com": "bounce"}, AS_OF + timedelta(days=1), "key")
    assert first == again
    store(town.lake, {}, AS_OF, "key")
    assert len(town.lake.read(town.lake.latest("suppressions"))) == 0


def test_a_rate_limit_is_waited_out_until_the_moment_it_names(town, sendgrid):
    clock = Clock()
    limit = {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(clock.now) + 17)}
    sendgrid.faults.append(Fault("PUT", "/v3/marketing/contacts", 429, {"errors": [{"message": "slow"}]}, limit))
    town.make(applied=True, wire=wire_to(sendgrid, clock))
    assert clock.slept == [17.0]
    assert len(sendgrid.on_list(WELCOME)) == 3


def test_a_longer_wait_than_configured_is_handed_back_with_its_length(town, sendgrid):
    sendgrid.faults.append(Fault("GET", "/v3/marketing/lists", 429, headers={"Retry-After": "3600"}))
    with pytest.raises(TransientError) as error:
        town.make(applied=True, wire=wire_to(sendgrid))
    assert error.value.wait_seconds == 3600


def test_passing_faults_of_the_upsert_are_tried_again(town, sendgrid):
    for status in (500, 502, 503, 0):
        sendgrid.faults.append(Fault("PUT", "/v3/marketing/contacts", status))
    town.make(applied=True, wire=wire_to(sendgrid))
    assert len(sendgrid.on_list(WELCOME)) == 3
    assert not any(fault.times for fault in sendgrid.faults)


def test_an_import_is_followed_until_its_status_says_it_is_over(town, sendgrid):
    clock = Clock()
    sendgrid.polls_needed = 6
    town.make(applied=True, wire=wire_to(sendgrid, clock))
    assert clock.slept == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_an_import_that_never_ends_is_given_up_for_the_next_run(town, sendgrid):
    sendgrid.polls_needed = 10_000
    with pytest.raises(TransientError, match="not ended after 60 seconds"):
        town.make(applied=True, wire=wire_to(sendgrid, job_timeout_seconds=60.0))


@pytest.mark.parametrize("with_file", [True, False], ids=["told in a file", "not told"])
def test_a_refused_row_is_named_with_its_reason_and_its_customer_counts_as_left_out(town, sendgrid, with_file):
    sendgrid.refused["ana@example.com"] = "address of ana@example.com is not valid"
    sendgrid.error_file = with_file
    [line] = town.make(applied=True, wire=wire_to(sendgrid)).drafts
    assert (line.accepted, line.refused) == (2, 1)
    ana = town.members()["Ana"]
    assert (ana["arm"], ana["applied"]) == ("left_out", False)
    words = "address of is not valid" if with_file else "not on the list after the import"
    assert ana["reason"] == f"refused by the platform: {words}"


def test_an_import_refused_whole_stops_with_the_words_of_the_account(town, sendgrid):
    sendgrid.refused = {f"{name.lower()}@example.com": "contact limit reached" for name in NAMES}
    with pytest.raises(ConfigurationError, match=r"refused all 3 contacts .*contact limit reached"):
        town.make(applied=True, wire=wire_to(sendgrid))
    assert sendgrid.singlesends == {}


def test_a_field_without_an_id_stops_before_any_contact_leaves(town, sendgrid):
    sendgrid.fields_without_id = True
    with pytest.raises(ConfigurationError, match="without an id"):
        town.make(applied=True, wire=wire_to(sendgrid))
    assert sendgrid.contacts == {}


def test_a_field_of_another_type_stops_with_what_to_do(town, sendgrid):
    sendgrid.fields["e9_N"] = {"id": "e9_N", "name": "RS_Greeting", "field_type": "Number"}
    with pytest.raises(ConfigurationError, match=r"rs_greeting is of type Number.*another prefix"):
        town.make(applied=True, wire=wire_to(sendgrid))


def test_a_field_made_by_somebody_else_in_the_meantime_is_used(town, sendgrid):
    post = Fault("POST", "/v3/marketing/field_definitions", 400, {"errors": [{"message": "exists"}]}, after=True)
    sendgrid.faults.append(post)
    town.make(applied=True, wire=wire_to(sendgrid))
    assert len(sendgrid.on_list(WELCOME)) == 3


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda fake: fake.senders.clear(), "no sender 1"),
        (lambda fake: fake.senders.update({1: {"id": 1, "verified": False}}), "not verified"),
        (lambda fake: fake.groups.clear(), "no unsubscribe group 103.*nobody could unsubscribe"),
        (lambda fake: fake.faults.append(Fault("GET", ".*", 403, {"errors": [{"message": "scope"}]})), "full access"),
        (lambda fake: fake.faults.append(Fault("GET", ".*", 451)), "another region"),
        (lambda fake: fake.faults.append(Fault("GET", ".*", 302, headers={"Location": "http://x/"})), "redirected"),
    ],
)
def test_an_account_that_cannot_be_used_is_told_with_what_to_do(sendgrid, spoil, words):
    spoil(sendgrid)
    with pytest.raises(ConfigurationError, match=words):
        check_account(wire_to(sendgrid))


def test_nothing_is_written_to_an_account_that_cannot_be_used(town, sendgrid):
    sendgrid.senders.clear()
    with pytest.raises(ConfigurationError, match="no sender 1"):
        town.make(applied=True, wire=wire_to(sendgrid))
    assert sendgrid.written() == []


def test_a_wrong_key_stops_and_is_repeated_nowhere(town, sendgrid, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigurationError, match="does not accept the API key") as error:
        town.make(applied=True, wire=wire_to(sendgrid, key="SG.wrong-secret"))
    wire = wire_to(sendgrid, key="SG.wrong-secret")
    assert "wrong-secret" not in caplog.text + str(error.value) + repr(error.value.__context__) + repr(wire)


def test_no_address_is_logged(town, sendgrid, caplog):
    caplog.set_level(logging.DEBUG)
    sendgrid.refused["ana@example.com"] = "bad"
    summary = town.make(applied=True, wire=wire_to(sendgrid))
    assert "example.com" not in caplog.text.replace("shop.example.com", "") + summary.model_dump_json()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v3/marketing/singlesends/1/schedule", b'{"send_at":"now"}'),
        ("POST", "/v3/mail/send", b"{}"),
        ("POST", "/v3/marketing/test/send_email", b"{}"),
        ("DELETE", "/v3/asm/suppressions/global/ana@example.com", None),
        ("DELETE", "/v3/asm/groups/103/suppressions/ana@example.com", None),
        ("DELETE", "/v3/suppression/bounces", None),
        ("DELETE", "/v3/marketing/contacts", None),
        ("DELETE", "/v3/marketing/singlesends/1", None),
        ("DELETE", "/v3/marketing/lists/1", None),
        ("POST", "/v3/marketing/singlesends", b'{"name":"x","send_at":"2017-11-15T10:00:00Z"}'),
        ("PATCH", "/v3/marketing/singlesends/1", b'{"a":[{"bypass_list_management":true}]}'),
        ("GET", "/v3/marketing/singlesends/1/../1/schedule", None),
    ],
)
def test_the_door_refuses_what_is_not_on_its_list(method, path, body):
    with pytest.raises(ForbiddenRequestError):
        check_request(method, f"https://api.sendgrid.com{path}", body)


def test_the_door_stands_inside_the_library_itself(sendgrid):
    with pytest.raises(ForbiddenRequestError):
        wire_to(sendgrid)._client.mail.send.post(request_body={"from": {}})
    assert sendgrid.requests == []


def test_an_address_without_encryption_is_refused_unless_it_is_this_machine():
    with pytest.raises(ValueError, match="https"):
        SendGridSettings(sender_id=1, suppression_group_id=1, base_url="http://api.sendgrid.com")


def test_a_hundred_thousand_contacts_are_split_by_rows_and_by_bytes():
    from tasks.campaigns.drafts import Contact
    from tasks.campaigns.sendgrid_contacts import MOST_BYTES, batches

    contacts = (Contact(str(n), f"c{n}@example.com", {"rs_greeting": "x" * 300}) for n in range(100_000))
    sizes = [len(batch) for batch in batches(contacts, {"rs_greeting": "e1_T"}, 30_000)]
    assert sum(sizes) == 100_000
    assert max(sizes) < 30_000  # bytes were the tighter limit
    assert max(sizes) * 360 < MOST_BYTES * 1.05


def test_only_the_door_knows_the_library():
    source = Path(wire_module.__file__).parents[1]
    using = {path.name for path in source.rglob("*.py") if re.search(r"^(import|from) (sendgrid|python_http_client)\b",
                                                                     path.read_text(), re.MULTILINE)}  # fmt: skip
    assert using == {"sendgrid_wire.py"}
