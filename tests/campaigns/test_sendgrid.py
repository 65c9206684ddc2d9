"""Drafts in SendGrid: what lies there afterwards, and what was asked for on the way."""

import itertools
import logging
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.campaigns import deliver
from tasks.campaigns import sendgrid_wire as wire_module
from tasks.campaigns.opt_outs import store
from tasks.campaigns.sendgrid_account import read_suppressions
from tasks.campaigns.sendgrid_wire import ForbiddenRequestError, Wire, check_request
from tasks.campaigns.settings import SendGridSettings
from tasks.errors import ConfigurationError, TransientError
from tasks.lake import Lake
from tests.campaigns.fake_sendgrid import API_KEY, FakeSendGrid, Fault
from tests.campaigns.town import AS_OF, PERSON_KEY, Resident, Town

WELCOME = f"Welcome, {AS_OF}, en"
WORK_AND_MONEY = ("schedule", "/mail/send", "erasejob", "test/send")


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_511_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Remember how long."""
        self.slept.append(seconds)
        self.now += seconds


def account(fake: FakeSendGrid, **changes) -> SendGridSettings:
    return SendGridSettings(sender_id=1, suppression_group_id=103, base_url=fake.url, **changes)


def wire_to(fake: FakeSendGrid, clock: Clock | None = None, key: str = API_KEY, **changes) -> Wire:
    clock = clock or Clock()
    return Wire(SecretStr(key), account(fake, **changes), clock=clock, sleep=clock.sleep)


def newcomers(lake: Lake, fake: FakeSendGrid, *names: str, **changes) -> Town:
    return Town(lake, tuple(Resident(name, "new") for name in names), sendgrid=account(fake, **changes)).settle()


# Nobody of these is drawn into the hold-out of Welcome (share 0.1) under the town's key.
NAMES = ("Bob", "Ana", "Cleo")


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


def test_a_second_run_changes_nothing_at_the_account(town, sendgrid):
    town.make(applied=True, wire=wire_to(sendgrid))
    sendgrid.requests.clear()
    [line] = town.make(applied=True, wire=wire_to(sendgrid)).drafts
    assert sendgrid.written() == []
    assert (line.unchanged, line.accepted, line.status) == (3, 0, "draft")


def test_a_plan_asks_the_account_nothing(town, sendgrid):
    [line] = town.make(applied=False, wire=wire_to(sendgrid)).drafts
    assert (sendgrid.requests, line.status) == ([], "planned")


def test_a_changed_text_updates_the_draft_and_makes_no_second_one(town, sendgrid):
    town.make(applied=True, wire=wire_to(sendgrid))
    play = town.playbook.play("welcome")
    texts = play.texts["en"].model_copy(update={"headline": "Hello and welcome"})
    new = play.model_copy(update={"texts": {**play.texts, "en": texts}})
    plays = tuple(new if one.id == "welcome" else one for one in town.playbook.plays)
    town.playbook = town.playbook.model_copy(update={"plays": plays})
    town.make(applied=True, wire=wire_to(sendgrid))
    assert "Hello and welcome" in sendgrid.draft(WELCOME)["email_config"]["html_content"]
    assert len(sendgrid.designs) == 1


def test_a_draft_that_a_person_changed_stays_as_the_person_left_it(town, sendgrid):
    town.make(applied=True, wire=wire_to(sendgrid))
    sendgrid.draft(WELCOME)["email_config"]["subject"] = "Better words"
    [line] = town.make(applied=True, wire=wire_to(sendgrid)).drafts
    assert (line.status, sendgrid.draft(WELCOME)["email_config"]["subject"]) == ("edited", "Better words")


@pytest.mark.parametrize("status", ["scheduled", "triggered"])
def test_a_draft_that_a_person_released_gets_no_further_contact_and_no_change(town, sendgrid, status):
    town.make(applied=True, wire=wire_to(sendgrid))
    sendgrid.draft(WELCOME)["status"] = status
    town.residents = (*town.residents, Resident("Ida", "new"))
    town.settle()
    sendgrid.requests.clear()
    [line] = town.make(applied=True, wire=wire_to(sendgrid)).drafts
    assert (line.status, "ida@example.com" in sendgrid.contacts) == (status, False)
    assert not [one for one in sendgrid.written() if "lists" not in one]


def test_an_opt_out_between_plan_and_apply_never_reaches_the_wire(town, sendgrid):
    town.make(applied=False)
    assert town.members()["Ana"]["arm"] == "treated"
    town.says_no("Ana")
    town.make(applied=True, wire=wire_to(sendgrid))
    assert "ana" not in str([request.body for request in sendgrid.requests]).lower()
    assert (town.members()["Ana"]["arm"], town.members()["Ana"]["reason"]) == ("left_out", "said no to e-mail")


def test_an_opt_out_while_contacts_are_uploaded_stops_the_next_batch(lake, sendgrid):
    town = newcomers(lake, sendgrid, *NAMES, contacts_per_request=1)
    answer, told = sendgrid.answer, []

    def answer_and_hear_no(request):
        if request.method == "PUT" and not told:
            told.append("no")
            town.says_no("Bob")
        return answer(request)

    sendgrid.answer = answer_and_hear_no
    [line] = town.make(applied=True, wire=wire_to(sendgrid, contacts_per_request=1)).drafts
    assert line.stopped == 1
    assert "bob@example.com" not in sendgrid.contacts
    assert (town.members()["Bob"]["arm"], town.members()["Bob"]["applied"]) == ("left_out", False)


def test_who_opts_out_afterwards_is_taken_off_the_lists_of_open_drafts_of_earlier_days(town, sendgrid):
    town.make(applied=True, wire=wire_to(sendgrid))
    town.says_no("Bob", at=datetime(2017, 11, 16, tzinfo=UTC))
    town.settle(AS_OF + timedelta(days=2))
    town.says_no("Bob", at=datetime(2017, 11, 16, tzinfo=UTC))
    town.make(AS_OF + timedelta(days=2), applied=True, wire=wire_to(sendgrid))
    assert sorted(sendgrid.on_list(WELCOME)) == ["ana@example.com", "cleo@example.com"]
    assert "bob@example.com" in sendgrid.contacts  # the contact and its suppressions stay


def test_a_changed_address_replaces_the_old_one_on_the_list(town, sendgrid):
    town.make(applied=True, wire=wire_to(sendgrid))
    town.residents = tuple(replace(r, email="robert@example.com") if r.name == "Bob" else r for r in town.residents)
    town.settle().make(applied=True, wire=wire_to(sendgrid))
    assert sorted(sendgrid.on_list(WELCOME)) == ["ana@example.com", "cleo@example.com", "robert@example.com"]


@pytest.mark.parametrize("kind", ["unsubscribes", "bounces", "spam_reports", "invalid_emails", "group"])
def test_whoever_is_suppressed_at_the_account_is_left_out(town, sendgrid, kind):
    noise = [f"stranger{number}@example.com" for number in range(700)]  # more than a page
    if kind == "group":
        sendgrid.groups[103] = [*noise, "Ana@Example.com"]
    else:
        sendgrid.suppressions[kind] = [*noise, "Ana@Example.com"]
    found = read_suppressions(wire_to(sendgrid))
    store(town.lake, found, AS_OF, PERSON_KEY.get_secret_value())
    town.make(applied=True, wire=wire_to(sendgrid))
    assert "ana@example.com" not in sendgrid.contacts
    assert town.members()["Ana"]["reason"] == "opted out, bounced or complained on a sending platform"
    assert "@" not in str(town.lake.read(town.lake.latest("suppressions"), columns=["address_hash", "kind"]))


def test_reading_the_same_suppressions_again_writes_nothing_and_a_lifted_one_goes(town):
    first = store(town.lake, {"ana@example.com": "bounce"}, AS_OF, "key")
    again = store(town.lake, {"ana@example.com": "bounce"}, AS_OF + timedelta(days=1), "key")
    assert first == again
    store(town.lake, {}, AS_OF, "key")
    assert len(town.lake.read(town.lake.latest("suppressions"))) == 0


def test_a_run_killed_half_way_goes_on_with_whom_it_had_not_reached(lake, sendgrid, monkeypatch):
    names = [f"Ida{number:02}" for number in range(40)]
    town = newcomers(lake, sendgrid, *names, contacts_per_request=10)
    batches = itertools.count()
    push = deliver._acknowledge

    def die_at_the_third(*args):
        push(*args)
        if next(batches) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(deliver, "_acknowledge", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        town.make(applied=True, wire=wire_to(sendgrid, contacts_per_request=10))
    monkeypatch.undo()
    reached = len(sendgrid.contacts)
    sendgrid.requests.clear()
    [line] = town.make(applied=True, wire=wire_to(sendgrid, contacts_per_request=10)).drafts
    treated = sum(member["arm"] == "treated" for member in town.members().values())
    sent = [contact["email"] for r in sendgrid.requests if r.method == "PUT" for contact in r.body["contacts"]]
    assert (reached, line.unchanged, len(sent)) == (30, 30, treated - 30)
    assert len(sendgrid.on_list(WELCOME)) == treated
    assert len(sendgrid.singlesends) == 1


def test_an_answer_lost_after_the_draft_was_made_does_not_make_a_second_one(town, sendgrid):
    sendgrid.faults.append(Fault("POST", "/v3/marketing/singlesends", 0, after=True))
    with pytest.raises(TransientError, match="got no answer"):
        town.make(applied=True, wire=wire_to(sendgrid))
    town.make(applied=True, wire=wire_to(sendgrid))
    assert [one["name"] for one in sendgrid.singlesends.values()] == [WELCOME]


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


@pytest.mark.parametrize("status", [500, 502, 503, 0])
def test_a_passing_fault_of_the_upsert_is_tried_again(town, sendgrid, status):
    sendgrid.faults.append(Fault("PUT", "/v3/marketing/contacts", status, times=2))
    town.make(applied=True, wire=wire_to(sendgrid))
    assert len(sendgrid.on_list(WELCOME)) == 3


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
def test_an_account_that_cannot_be_used_stops_with_what_to_do(town, sendgrid, spoil, words):
    spoil(sendgrid)
    with pytest.raises(ConfigurationError, match=words):
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


def test_nothing_that_schedules_sends_or_subscribes_is_ever_asked_for(lake, sendgrid):
    """Everything a run can do at the account, looked at on the wire: a first day, changes, opt-outs, a later day."""
    residents = (Resident("Ana", "at_risk", moved_from="vip"), Resident("Bob", "new"), Resident("Cleo", "vip"),
                 Resident("Dan", "lapsing"), Resident("Eve", "loyal", language="de"))  # fmt: skip
    town = Town(lake, residents, sendgrid=account(sendgrid)).settle()
    for number in range(3):
        day = AS_OF + timedelta(days=number)
        town.settle(day).make(day, applied=True, wire=wire_to(sendgrid))
        town.says_no("Dan", at=datetime(2017, 12, 1, tzinfo=UTC))
    assert len(sendgrid.singlesends) >= 3
    assert {one["status"] for one in sendgrid.singlesends.values()} == {"draft"}
    for request in sendgrid.requests:
        assert not [word for word in WORK_AND_MONEY if word in request.path]
        assert "send_at" not in str(request.body)
        assert not (request.method == "DELETE" and "suppression" in request.path)


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
