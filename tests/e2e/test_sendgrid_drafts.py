"""Drafts in SendGrid over several runs: what a kill, a lost answer, a person's hand and later days leave behind."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tasks.campaigns import deliver
from tasks.errors import TransientError
from tasks.lake import Lake
from tests.campaigns.fake_sendgrid import FakeSendGrid, Fault, serve
from tests.campaigns.newcomers import NAMES, WELCOME, account, newcomers, wire_to
from tests.campaigns.town import AS_OF, Resident, Town

pytestmark = pytest.mark.e2e
WORK_AND_MONEY = ("schedule", "/mail/send", "erasejob", "test/send")


@pytest.fixture
def sendgrid() -> Iterator[FakeSendGrid]:
    with serve() as fake:
        yield fake


@pytest.fixture
def town(lake: Lake, sendgrid: FakeSendGrid) -> Town:
    return newcomers(lake, sendgrid, *NAMES)


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
