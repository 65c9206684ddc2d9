"""The newest word of a customer counts, and a no is not drowned by an old yes."""

from datetime import date, timedelta

import pytest

from tests.intake.conftest import WRITTEN

CRM = {
    "name": "crm",
    "dataset": "customers",
    "files": "crm/*.ndjson",
    "columns": {"customer_id": "no", "consent_email": "news", "consent_sms": "sms"},
}
WORDS = {
    "name": "centre",
    "dataset": "consent",
    "files": "words/*.ndjson",
    "columns": {"customer_id": "no", "channel": "channel", "status": "said", "changed_at": "at"},
}
CLICKS = {
    "name": "mail",
    "dataset": "engagement",
    "channel": "email",
    "files": "mail/*.ndjson",
    "columns": {"customer_id": "no", "kind": "kind", "at": "at"},
}
VERDICT = (
    "SELECT customer_id, channel, arg_max(status, (changed_at, status = 'denied')) FROM consent "
    "WHERE status <> 'unknown' GROUP BY ALL ORDER BY ALL"
)


def _verdicts(shop) -> list[tuple[str, str, str]]:
    with shop.lake.database([shop.lake.latest("consent")]) as db:
        return db.sql(VERDICT).fetchall()


def test_a_profile_that_repeats_an_old_yes_does_not_lift_a_newer_no(shop):
    config = shop.config(CRM, WORDS)
    shop.write("crm/monday.ndjson", [{"no": "1", "news": True, "sms": None}], WRITTEN)
    shop.take(config, date(2024, 6, 1))
    assert _verdicts(shop) == [("1", "email", "granted")]
    shop.write(
        "words/1.ndjson",
        [{"no": "1", "channel": "email", "said": "no", "at": "2024-06-02T10:00:00Z"}],
        WRITTEN + timedelta(days=2),
    )
    shop.write("crm/thursday.ndjson", [{"no": "1", "news": True, "sms": None}], WRITTEN + timedelta(days=3))
    shop.take(config, date(2024, 6, 4))
    assert _verdicts(shop) == [("1", "email", "denied")]


def test_a_profile_that_changes_its_word_is_heard(shop):
    config = shop.config(CRM)
    shop.write("crm/1.ndjson", [{"no": "1", "news": True, "sms": False}], WRITTEN)
    shop.write("crm/2.ndjson", [{"no": "1", "news": False, "sms": True}], WRITTEN + timedelta(days=1))
    shop.take(config, date(2024, 6, 3))
    assert _verdicts(shop) == [("1", "email", "denied"), ("1", "sms", "granted")]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_words_may_arrive_in_any_order(shop, order):
    said = {
        "a": {"no": "1", "channel": "email", "said": "yes", "at": "2024-05-01T10:00:00Z"},
        "b": {"no": "1", "channel": "email", "said": "no", "at": "2024-05-02T10:00:00Z"},
    }
    config = shop.config(WORDS)
    for day, name in enumerate(order):
        shop.write(f"words/{name}.ndjson", [said[name]], WRITTEN + timedelta(days=day))
        shop.take(config, date(2024, 6, 2 + day))
    assert _verdicts(shop) == [("1", "email", "denied")]


def test_at_the_same_moment_a_no_beats_a_yes(shop):
    at = "2024-05-01T10:00:00Z"
    rows = [{"no": "1", "channel": "sms", "said": said, "at": at} for said in ("no", "yes", "unknown")]
    shop.write("words/1.ndjson", rows)
    shop.take(shop.config(WORDS))
    assert _verdicts(shop) == [("1", "sms", "denied")]


def test_who_unsubscribes_or_complains_has_said_no(shop):
    rows = [
        {"no": "1", "kind": "unsubscribe", "at": "2024-05-01T10:00:00Z"},
        {"no": "2", "kind": "spam", "at": "2024-05-01T10:00:00Z"},
        {"no": "3", "kind": "click", "at": "2024-05-01T10:00:00Z"},
    ]
    shop.write("mail/1.ndjson", rows)
    shop.take(shop.config(CLICKS))
    assert _verdicts(shop) == [("1", "email", "denied"), ("2", "email", "denied")]


def test_a_word_that_is_neither_yes_nor_no_is_quarantined(shop):
    at = "2024-05-01T10:00:00Z"
    rows = [
        {"no": "1", "channel": "fax", "said": "yes", "at": at},
        {"no": "1", "channel": "email", "said": "whatever", "at": at},
    ]
    shop.write("words/1.ndjson", rows)
    shop.take(shop.config({**WORDS, "checks": {"max_quarantined": 1.0}}))
    assert shop.rows("quarantine", "row, reasons") == [(1, ["unknown_channel"]), (2, ["unknown_status"])]
    assert shop.rows("consent") == []
