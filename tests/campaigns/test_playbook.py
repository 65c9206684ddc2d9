"""The playbook: what may be written, which day a play runs, and every mistake named at once with its remedy."""

from datetime import date
from pathlib import Path

import pytest
import yaml

from tasks.campaigns import playbook_file
from tasks.campaigns.playbook import DEFAULT_AUDIENCES, DEFAULT_SEGMENTS, TEMPLATES, Play
from tasks.campaigns.playbook_file import default_text, ids_in_rules, load, parse
from tasks.errors import ConfigurationError

ACTION = {"what": "Greet.", "why": "Because."}
TEXTS = {"en": {"subjects": ["S"], "preheader": "P", "headline": "H", "body": ["B"], "button": "Go"}}


def play(**changes) -> dict:
    plain = {"id": "hello", "label": "Hello", "goal": "G", "priority": 1, "who": {"segments": ["vip"]},
             "action": ACTION, "texts": TEXTS}  # fmt: skip
    return plain | changes


def written(*plays: dict, **changes) -> str:
    return yaml.safe_dump({"default_action": ACTION, "plays": list(plays), **changes})


def problems(text: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        parse(text)
    return str(error.value)


def test_the_packaged_playbook_is_right_and_covers_what_a_retailer_starts_with():
    plays = load(None).plays
    assert [one.id for one in sorted(plays, key=lambda one: one.priority)] == [
        "vip_at_risk", "welcome", "vip_thanks", "replenish", "gift_season", "business", "win_back", "bargain",
        "cart_size", "cross_sell", "loyalty",
    ]  # fmt: skip
    assert {one.template for one in plays} == set(TEMPLATES)
    assert all(0 < one.holdout_share <= 0.2 for one in plays)


def test_the_known_ids_are_those_of_the_packaged_rules():
    rules = Path(playbook_file.__file__).parents[1] / "segments" / "segments.yaml"
    segments, audiences = ids_in_rules(str(rules))
    assert set(segments) == set(DEFAULT_SEGMENTS)
    assert set(audiences) == set(DEFAULT_AUDIENCES)


def test_all_problems_are_listed_at_once_with_place_and_remedy():
    text = written(
        play(holdout_shar=0.1, template="mail", who={"segments": ["vipp"]}),
        play(id="other", label="Other", offer={"kind": "percent"}),
        play(id="third", label="Third", texts={"de": TEXTS["en"]}, who={"moves": [{"now_in": ["at_rsk"]}]}),
        play(id="third", label="Fourth", priority=2, texts={"en": {**TEXTS["en"], "body": ["{code} {nme} {offer}"]}}),
        cap={"per_week": 1},
    )
    said = problems(text)
    for expected in (
        "cap: unknown entry; did you mean caps?",
        "plays[0] (hello).holdout_shar: unknown entry; did you mean holdout_share?",
        "plays[0] (hello).template: input should be",
        "plays[0] (hello).who.segments: no segment vipp; did you mean vip?",
        "plays[1] (other).offer: an offer of kind percent needs a value",
        "plays[2] (third).texts: the playbook's language en is missing; add texts.en",
        "plays[2] (third).who.moves[0].now_in: no segment at_rsk; did you mean at_risk?",
        "plays[3] (third).id: third is already used by plays[2] (third); choose another one",
        "{code} but the offer has no code; add offer.code or remove the word",
        "unknown {nme}",
        "{offer} but the play has no offer",
    ):
        assert expected in said, expected
    assert said.startswith("playbook has 11 problems:")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"holdout_share": 0.7}, "less than or equal to 0.5"),
        ({"priority": 0}, "greater than or equal to 1"),
        ({"who": {}}, "name segments, audiences or moves"),
        ({"who": {"moves": [{}]}}, "a move needs came_from, now_in or both"),
        ({"texts": {}}, "an e-mail needs texts"),
        ({"season": ["11-31x", "12-24"]}, "season"),
        ({"valid_from": "2018-02-01", "valid_until": "2018-01-01"}, "valid_until lies before valid_from"),
        ({"offer": {"kind": "percent", "value": 95}}, "taken for a typing error"),
        ({"offer": {"kind": "free_delivery", "value": 5}}, "has no value"),
        ({"offer": {"kind": "double_points", "code": "A1B2", "personal_code_prefix": "AB"}}, "not both"),
        ({"texts": {"en": {**TEXTS["en"], "subjects": []}}}, "at least 1 item"),
        ({"texts": {"en": {**TEXTS["en"], "headline": "   "}}}, "write something"),
        ({"texts": {"en": {**TEXTS["en"], "headline": "{{first_name}}"}}}, "unknown {first_name}"),
    ],
)
def test_a_play_that_makes_no_sense_is_refused(changes, words):
    assert words in problems(written(play(**changes)))


@pytest.mark.parametrize(
    ("text", "words"),
    [("plays: [", r"line 1.*Check indentation"), ("- a\n- b", "must be a mapping"), ("{}", "default_action: field")],
)
def test_a_file_that_is_no_playbook_is_refused_in_words(text, words):
    with pytest.raises(ConfigurationError, match=words):
        parse(text)


def test_a_missing_file_says_what_to_check(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot be read \(FileNotFoundError\): check the path"):
        load(str(tmp_path / "none.yaml"))


def test_the_packaged_text_can_be_saved_and_read_as_an_own_playbook(tmp_path):
    (tmp_path / "mine.yaml").write_text(default_text(), encoding="utf-8")
    assert load(str(tmp_path / "mine.yaml")) == load(None)


@pytest.mark.parametrize(
    ("changes", "day", "expected"),
    [
        ({}, "2017-11-15", ""),
        ({"valid_from": "2017-11-16"}, "2017-11-15", "not before 2017-11-16"),
        ({"valid_until": "2017-11-15"}, "2017-11-15", ""),
        ({"valid_until": "2017-11-14"}, "2017-11-15", "ended on 2017-11-14"),
        ({"season": ["11-10", "12-20"]}, "2017-11-10", ""),
        ({"season": ["11-10", "12-20"]}, "2017-12-21", "out of season (11-10 to 12-20)"),
        ({"season": ["12-15", "01-05"]}, "2018-01-05", ""),
        ({"season": ["12-15", "01-05"]}, "2018-01-06", "out of season (12-15 to 01-05)"),
        ({"weekdays": ["tuesday"]}, "2017-11-15", "runs on tuesday only"),
        ({"quiet_dates": ["11-15"]}, "2017-11-15", "quiet day 2017-11-15"),
        ({"quiet_dates": ["2016-11-15"]}, "2017-11-15", ""),
    ],
)
def test_a_play_runs_within_its_validity_season_and_days(changes, day, expected):
    assert Play.model_validate(play(**changes)).rests(date.fromisoformat(day)) == expected


@pytest.mark.parametrize(
    ("changes", "day", "campaign"),
    [
        ({}, "2017-11-15", "hello"),
        ({"edition": "b"}, "2017-11-15", "hello-b"),
        ({"season": ["12-15", "01-05"]}, "2017-12-31", "hello-2017"),
        ({"season": ["12-15", "01-05"]}, "2018-01-01", "hello-2017"),  # the same season, the same hold-out
        ({"season": ["11-10", "12-20"]}, "2018-11-10", "hello-2018"),
    ],
)
def test_a_campaign_keeps_its_name_through_a_season(changes, day, campaign):
    assert Play.model_validate(play(**changes)).campaign_id(date.fromisoformat(day)) == campaign


def test_a_playbook_cannot_be_changed_after_reading():
    with pytest.raises(ValueError, match="frozen"):
        load(None).caps = None
