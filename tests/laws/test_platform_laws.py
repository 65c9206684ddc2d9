"""The laws every platform keeps, found through the registry: a new platform without them cannot be forgotten."""

import inspect
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parents[1] / "destinations"))

from world import AS_OF, AT, KEY, LOOSE, assign, customer, retailer, rows

from tasks.config import DestinationSettings
from tasks.destinations import page
from tasks.destinations.accounts import account_of
from tasks.destinations.answers import Conversation
from tasks.destinations.apply import apply_plan
from tasks.destinations.connect import connector, surveyor
from tasks.destinations.desired import chosen_fields, key_of
from tasks.destinations.http import HttpSession, Patience, TokenStore
from tasks.destinations.limits import batches, size_bytes, unpaced
from tasks.destinations.page import read_laws
from tasks.destinations.plan import Plan, make_plan
from tasks.destinations.platform import (
    Answer,
    Change,
    Key,
    Kind,
    Member,
    Part,
    Person,
    Platform,
    Target,
    Verdict,
    text,
)
from tasks.destinations.prepare import missing, prepare
from tasks.destinations.registry import all_platforms, missing_modules, platform_of
from tasks.destinations.rehearsal.fake import Fake, Weather, serve
from tasks.destinations.rehearsal.stage import all_fakes
from tasks.errors import ConfigurationError, SegmentationError

PEOPLE = {
    "ana": "vip",
    "ben": "loyal",
    "cleo": "loyal",
    "dora": "at_risk",
    "emil": "new",
    "fay": "vip",
    "gus": "loyal",
    "hana": "dormant",
}
RECORD = Path(page.__file__).with_name("laws.json")
LISTS = tuple(sorted(set(PEOPLE.values())))
HASTE = Patience(attempts=15, first_seconds=0.0, longest_seconds=0.0, failures_in_a_row=2)
SAMPLE = {Kind.TEXT: "Talk to them", Kind.NUMBER: 12.5, Kind.INTEGER: 7, Kind.TEXTS: ["sku-1", "sku-2"]}


@dataclass
class Theatre:
    """One platform on the stage with its stand-in; ``held`` is what was accepted so far."""

    platform: Platform
    fake: Fake
    destination: DestinationSettings
    ledger: dict[str, Member] = field(default_factory=dict)

    def open(self, secret: str | None = None, patience: Patience = HASTE) -> HttpSession:
        account = account_of(self.platform, self.destination, SecretStr(secret or self.fake.secret))
        return HttpSession(
            self.platform, account, "q", pace=unpaced, patience=patience, tokens=TokenStore(), sleep=_no_sleep
        )

    def target(self, session: HttpSession) -> Target:
        fields = chosen_fields(self.destination, self.platform)
        key = key_of(self.destination, self.platform)
        return Target("stage", session.account, fields, LISTS, push_id="push-1", key=key)

    def member(self, name: str, segment: str | None, email: str | None = None) -> Member:
        """The customer as the plan would want them; no segment is leaving."""
        email = email or f"{name}@example.com"
        fields = chosen_fields(self.destination, self.platform)
        old = self.ledger.get(name)
        values: dict[str, Any] = {}
        for one in fields:
            own = {"segment": segment, "email": email, "first_name": name.title(), "last_name": "Example"}
            sample = own.get(one.ours, SAMPLE[one.kind])
            if segment is not None or one.owned:
                values[one.theirs] = sample if segment is not None else None
        mine = (segment,) if segment and self.platform.uses_lists else ()
        before = old.lists if old else ()
        key = {Key.EMAIL: email, Key.CUSTOMER_ID: name}[key_of(self.destination, self.platform)]
        change = Change.LEAVE if segment is None else Change.UPDATE if old else Change.ENTER
        return Member(
            name,
            change,
            key,
            email,
            None,
            values,
            lists=mine,
            joins=tuple(one for one in mine if one not in before),
            leaves=tuple(one for one in before if one not in mine),
            native_id=old.native_id if old else "",
        )

    def push(self, people: dict[str, str | None], **more: Any) -> dict[str, Answer]:
        """Everything the engine does with a platform, without the lake around it."""
        return self.send([self.member(name, segment) for name, segment in people.items()], **more)

    def send(self, members: Sequence[Member], session: HttpSession | None = None) -> dict[str, Answer]:
        answers: dict[str, Answer] = {}
        with session or self.open() as talking:
            try:
                target, _ = prepare(self.platform, talking, self.target(talking))
            except SegmentationError as error:
                return {m.customer_id: Answer(m.customer_id, Verdict.LATER, "stopped", str(error)) for m in members}
            talk = Conversation(self.platform, talking, target)
            for batch in batches((self.platform.shape(m, target) for m in members), self.platform.limits):
                answers.update({one.customer_id: one for one in talk.deliver(batch)})
        for member in members:
            answer = answers[member.customer_id]
            if answer.verdict is Verdict.DELIVERED:
                self.ledger.pop(member.customer_id, None)
                if member.change is not Change.LEAVE:
                    self.ledger[member.customer_id] = replace(member, native_id=answer.native_id)
        return answers

    def wanted(self) -> dict[str, dict[str, Any]]:
        """What was accepted, in the stand-in's words."""
        return {m.key: said(m.values, m.lists if self.platform.uses_lists else None) for m in self.ledger.values()}

    def held(self) -> dict[str, dict[str, Any]]:
        return held(self.fake)


def _no_sleep(_seconds: float) -> None:
    """Waiting is asserted elsewhere; here it would only take time."""


def said(values: Any, lists: Any = None) -> dict[str, Any]:
    found: dict[str, Any] = {name: text(value) for name, value in values.items() if text(value)}
    return found if lists is None else found | {"lists": set(lists)}


def held(fake: Fake) -> dict[str, dict[str, Any]]:
    """What the stand-in holds about those who have any value of ours."""
    found = {
        key: {name: value if name == "lists" else text(value) for name, value in values.items()}
        for key, values in fake.people().items()
    }
    return {key: values for key, values in found.items() if any(values.values())}


def verdicts(answers: dict[str, Answer]) -> dict[str, str]:
    return {name: str(answer.verdict) for name, answer in answers.items()}


WAYS = [
    pytest.param(way, id=f"{platform.slug}{suffix}")
    for platform in all_platforms()
    for suffix, way in (("", platform), ("-volume", platform.sized(10**9) if platform.volume else None))
    if way is not None
]


@pytest.fixture(params=WAYS)
def theatre(request: pytest.FixtureRequest) -> Iterator[Theatre]:
    platform: Platform = request.param
    if missing_modules(platform):
        pytest.skip(f"{platform.title} needs {missing_modules(platform)}")
    with ExitStack() as stack:
        fake = stack.enter_context(serve(all_fakes()[platform.slug]()))
        fake.seed([customer(name) for name in (*PEOPLE, "invalid")])
        settings = DestinationSettings(platform=platform.slug, secret="s", settings=fake.settings(), released=True)
        yield Theatre(platform, fake, settings)


@pytest.fixture(autouse=True)
def recorded(request: pytest.FixtureRequest, outcome: object) -> Iterator[None]:
    """The record of the laws (laws.json) says of each platform what the suite finds; RECORD_LAWS=1 writes it."""
    yield
    given = getattr(request.node, "callspec", None)
    platform = given and (given.params.get("theatre") or given.params.get("platform"))
    if platform is None or platform != platform_of(platform.slug) or str(outcome) not in FOUND:
        return  # another way of sending adds tests of a law, not a law
    law, found = request.node.originalname.removeprefix("test_"), FOUND[str(outcome)]
    if os.environ.get("RECORD_LAWS"):
        record(law, platform.slug, found)
    elif not missing_modules(platform):
        assert platform.slug in getattr(read_laws()[law], found), f"run: RECORD_LAWS=1 pytest {Path(__file__).name}"


FOUND = {"passed": "kept", "skipped": "without_meaning"}


def record(law: str, slug: str, found: str) -> None:
    laws = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name in FOUND.values():
        here = set(laws.setdefault(law, {}).get(name, ()))
        laws[law][name] = sorted(here | {slug} if name == found else here - {slug})
    ordered = {name: laws[name] for name in laws_of_the_suite() if name in laws}
    RECORD.write_text(json.dumps(ordered, indent=1) + "\n")


def laws_of_the_suite() -> list[str]:
    """Every test of this module that is about one platform, in the order of the file."""
    return [
        name.removeprefix("test_")
        for name, test in globals().items()
        if name.startswith("test_") and {"theatre", "platform"} & set(inspect.signature(test).parameters)
    ]


def test_the_record_names_every_law_and_every_platform_and_nothing_else() -> None:
    slugs = sorted(platform.slug for platform in all_platforms())
    assert list(read_laws()) == laws_of_the_suite()
    for law, where in read_laws().items():
        assert sorted(where.kept + where.without_meaning) == slugs, law


def test_every_platform_has_a_stand_in() -> None:
    assert {platform.slug for platform in all_platforms()} == set(all_fakes())


@pytest.mark.parametrize("platform", all_platforms(), ids=lambda p: p.slug)
def test_an_address_without_tls_is_refused_except_on_loopback(platform: Platform) -> None:
    if platform.embedded:
        pytest.skip("files have no address")
    fields = {n: "x" for n, f in platform.account.model_fields.items() if f.is_required()}
    for address in ("http://example.com", "ftp://127.0.0.1", "https://user:pw@example.com"):
        with pytest.raises(ValueError, match="base"):
            platform.account(**{**fields, "base": address})


def test_a_whole_life_through_the_lake(theatre: Theatre, tmp_path: Path) -> None:
    """Plan, push in bad weather, second push silent, opt-out never sent, change and leave, all from tables."""
    if theatre.platform.volume and theatre.platform == theatre.platform.sized(10**9):
        pytest.skip("the lake decides by itself when to send volume")
    lake = retailer(tmp_path / "lake", PEOPLE)
    no = {"customer_key": "k", "customer_id": "cleo", "channel": "email", "status": "denied", "changed_at": AT}
    lake.replace("consent", rows("consent", [no]))
    destination, minutes = theatre.destination, iter(range(60))
    opens = connector(lambda _: SecretStr(theatre.fake.secret), pace=unpaced, patience=HASTE)

    def plan(where: DestinationSettings, **more: Any) -> Plan:
        at = AT.replace(minute=next(minutes))
        return make_plan(lake, [], [where], LOOSE, as_of=AS_OF, at=at, person_key=KEY, **more)[0]

    def wanted() -> dict[str, dict[str, Any]]:
        ledger = [r for r in lake.read(lake.latest("sync_ledger")).to_pylist() if r["digest"]]
        loaded = [orjson.loads(row["payload"]) for row in ledger]
        return {p["key"]: said(p["vals"], p["lists"] if theatre.platform.uses_lists else None) for p in loaded}

    first = plan(destination, survey=surveyor(opens))
    theatre.fake.weather = Weather(rate=0.2, seed=11)
    done = apply_plan(lake, first, [destination], opens, at=AT, person_key=KEY)
    theatre.fake.weather = Weather()
    expected = set(PEOPLE) - ({"cleo"} if theatre.platform.addresses_people else set())
    assert done.destinations[0].stopped == ""
    assert done.destinations[0].delivered == len(expected)
    assert set(first.destinations[0].prepare) >= set(done.destinations[0].created)
    assert held(theatre.fake) == wanted()
    wire = b"".join(str((r.path, dict(r.query))).encode() + r.body for r in theatre.fake.seen)
    assert not theatre.platform.addresses_people or b"cleo" not in wire

    theatre.fake.seen.clear()
    second = plan(destination)
    assert second.changes == 0
    apply_plan(lake, second, [destination], opens, at=AT, person_key=KEY)
    assert theatre.fake.seen == []

    fewer = destination.model_copy(update={"audience": ("vip", "loyal")})
    assign(lake, PEOPLE | {"ana": "loyal", "ben": "at_risk"})
    third = plan(fewer)
    assert third.destinations[0].leaves == 4
    assert apply_plan(lake, third, [fewer], opens, at=AT, person_key=KEY).complete
    assert held(theatre.fake) == wanted()
    assert len(wanted()) == len(expected) - 4
    assert theatre.fake.complaints == []


def test_a_push_makes_the_platform_look_as_desired_and_answers_everybody_once(theatre: Theatre) -> None:
    assert verdicts(theatre.push(PEOPLE)) == dict.fromkeys(PEOPLE, "delivered")
    assert theatre.fake.complaints == []
    assert len(theatre.wanted()) == len(PEOPLE)
    assert theatre.held() == theatre.wanted()


def test_sending_the_same_again_changes_nothing(theatre: Theatre) -> None:
    theatre.push(PEOPLE)
    before, theatre.ledger = theatre.held(), {}
    assert verdicts(theatre.push(PEOPLE)) == dict.fromkeys(PEOPLE, "delivered")
    assert theatre.held() == before
    assert theatre.fake.complaints == []


def test_nothing_to_send_sends_nothing(theatre: Theatre) -> None:
    with theatre.open() as session:
        target, _ = prepare(theatre.platform, session, theatre.target(session))
        theatre.fake.seen.clear()
        assert Conversation(theatre.platform, session, target).deliver([]) == []
    assert theatre.fake.seen == []


def test_preparing_twice_creates_nothing_the_second_time(theatre: Theatre) -> None:
    with theatre.open() as session:
        announced = missing(theatre.platform, session, theatre.target(session))
        first, created = prepare(theatre.platform, session, theatre.target(session))
        second, again = prepare(theatre.platform, session, theatre.target(session))
    assert (created, again) == (announced, ())
    assert first.known == second.known
    assert theatre.fake.complaints == []


def test_who_changes_is_updated_and_who_leaves_is_taken_out(theatre: Theatre) -> None:
    theatre.push(PEOPLE)
    assert verdicts(theatre.push({"ana": "loyal", "dora": None, "hana": None, "ben": "at_risk"})) == dict.fromkeys(
        ("ana", "ben", "dora", "hana"), "delivered"
    )
    assert theatre.fake.complaints == []
    assert len(theatre.wanted()) == len(PEOPLE) - 2
    assert theatre.held() == theatre.wanted()
    assert verdicts(theatre.push({"dora": "new"})) == {"dora": "delivered"}
    assert theatre.held() == theatre.wanted()


def test_leaving_twice_or_without_ever_having_been_there_is_no_failure(theatre: Theatre) -> None:
    theatre.push({"ana": "vip"})
    member = replace(theatre.member("ana", None), leaves=theatre.ledger["ana"].lists)
    stranger = replace(theatre.member("zoe", None), leaves=LISTS[:1] if theatre.platform.uses_lists else ())
    assert verdicts(theatre.send([member])) == {"ana": "delivered"}
    assert set(verdicts(theatre.send([member, stranger])).values()) <= {"delivered", "skipped"}
    assert theatre.held() == {}


def test_a_bad_row_is_refused_alone_with_a_reason_free_of_personal_data(theatre: Theatre) -> None:
    if not theatre.platform.addresses_people:
        pytest.skip("any address is fine in a file or a table")
    members = [theatre.member(name, segment) for name, segment in PEOPLE.items()]
    bad = theatre.member("invalid", "vip", email="someone@invalid")
    answers = theatre.send([*members[:3], bad, *members[3:]])
    assert verdicts(answers) == dict.fromkeys(PEOPLE, "delivered") | {"invalid": "rejected"}
    assert answers["invalid"].code
    assert "@" not in answers["invalid"].reason
    assert theatre.held() == theatre.wanted()


@pytest.mark.parametrize("seed", [7, 8])
def test_bad_weather_is_survived(theatre: Theatre, seed: int) -> None:
    theatre.fake.weather = Weather(rate=0.3, seed=seed)
    small = replace(theatre.platform, limits=replace(theatre.platform.limits, rows=3))
    theatre.platform = small
    assert verdicts(theatre.push(PEOPLE)) == dict.fromkeys(PEOPLE, "delivered")
    assert theatre.fake.complaints == []
    assert theatre.held() == theatre.wanted()


@pytest.mark.parametrize("kind", ["429", "503", "cut_before", "cut_after", "garbage"])
def test_an_outage_leaves_everybody_for_later(theatre: Theatre, kind: str) -> None:
    if theatre.platform.embedded:
        pytest.skip("files have no weather")
    theatre.fake.weather = Weather(rate=1.0, kinds=(kind,))
    answers = theatre.push(PEOPLE, session=theatre.open(patience=replace(HASTE, attempts=2)))
    assert verdicts(answers) == dict.fromkeys(PEOPLE, "later")
    assert all(answer.reason for answer in answers.values())
    assert len(theatre.fake.seen) < 40
    theatre.fake.weather = Weather()
    assert verdicts(theatre.push(PEOPLE)) == dict.fromkeys(PEOPLE, "delivered")
    assert theatre.held() == theatre.wanted()


def test_answers_of_another_shape_are_an_unknown_outcome_and_never_a_crash(theatre: Theatre) -> None:
    if theatre.platform.embedded:
        pytest.skip("files do not answer")
    patience = replace(HASTE, attempts=2, job_seconds=1.0)
    theatre.fake.weather = Weather(rate=1.0, kinds=("nonsense",))
    answers = theatre.push(PEOPLE, session=theatre.open(patience=patience))
    assert set(verdicts(answers).values()) <= {"later", "rejected"}
    theatre.fake.weather = Weather()
    with theatre.open(patience=patience) as session:
        target, _ = prepare(theatre.platform, session, theatre.target(session))
        theatre.fake.weather = Weather(rate=1.0, kinds=("nonsense",))
        parts = [theatre.platform.shape(theatre.member(name, "vip"), target) for name in PEOPLE]
        found = [one for batch in batches(parts, theatre.platform.limits)
                 for one in Conversation(theatre.platform, session, target).deliver(batch)]  # fmt: skip
    assert sorted(one.customer_id for one in found) == sorted(PEOPLE)
    assert Verdict.DELIVERED not in {one.verdict for one in found}


def test_an_outage_in_the_middle_leaves_the_rest_for_later_and_stops_asking(theatre: Theatre) -> None:
    if theatre.platform.embedded:
        pytest.skip("files have no weather")
    with theatre.open(patience=replace(HASTE, attempts=2)) as session:
        target, _ = prepare(theatre.platform, session, theatre.target(session))
        theatre.fake.weather = Weather(rate=1.0, kinds=("503",))
        theatre.fake.seen.clear()
        talk = Conversation(theatre.platform, session, target)
        parts = [theatre.platform.shape(theatre.member(f"c{i}", "vip"), target) for i in range(40)]
        answers = [one for part in parts for one in talk.deliver([part])]
    assert {one.verdict for one in answers} == {Verdict.LATER}
    assert theatre.fake.weather.happened <= 2 * 2 + 2


def test_wrong_credentials_stop_at_once_and_are_not_repeated(theatre: Theatre, caplog) -> None:
    if theatre.platform.embedded:
        pytest.skip("files have no credentials")
    caplog.set_level(logging.DEBUG)
    wrong = theatre.fake.secret.replace("rehearsal", "wrongwrong")
    assert wrong != theatre.fake.secret
    answers = theatre.push(PEOPLE, session=theatre.open(wrong))
    assert verdicts(answers) == dict.fromkeys(PEOPLE, "later")
    assert "Check the credentials" in answers["ana"].reason
    assert len(theatre.fake.seen) <= 3
    assert "wrongwrong" not in caplog.text + repr(answers)


def test_an_expired_token_is_renewed_and_the_request_repeated(theatre: Theatre) -> None:
    if not theatre.fake.expiring:
        pytest.skip("tokens do not run out here")
    session = theatre.open()
    with session:
        target, _ = prepare(theatre.platform, session, theatre.target(session))
        theatre.fake.expire()
        parts = [theatre.platform.shape(theatre.member("ana", "vip"), target)]
        (answer,) = Conversation(theatre.platform, session, target).deliver(parts)
    assert answer.verdict is Verdict.DELIVERED


def test_secrets_and_addresses_are_in_no_log_repr_or_answer(theatre: Theatre, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    theatre.fake.weather = Weather(rate=0.2, seed=3)
    session = theatre.open()
    bad = theatre.member("invalid", "vip", email="someone@invalid")
    answers = theatre.send([*(theatre.member(n, s) for n, s in PEOPLE.items()), bad], session=session)
    texts = caplog.text + repr(answers) + repr(session) + repr(session.account) + str(session.account)
    assert "@example.com" not in texts
    assert "someone@" not in texts
    assert not theatre.fake.secret or theatre.fake.secret not in texts


def test_limits_by_rows_and_bytes_are_kept(theatre: Theatre) -> None:
    with theatre.open() as session:
        target, _ = prepare(theatre.platform, session, theatre.target(session))
    parts = [theatre.platform.shape(theatre.member(f"c{i}", "vip"), target) for i in range(60)]
    limits = replace(theatre.platform.limits, rows=7, bytes=3 * max(map(size_bytes, parts)))
    cut = list(batches(parts, limits))
    assert [part for batch in cut for part in batch] == sorted(parts, key=lambda p: int(p.member.customer_id[1:]))
    for batch in cut:
        assert len(batch) <= limits.rows
        assert sum(map(size_bytes, batch)) <= limits.bytes
        assert len({part.group for part in batch}) == 1


def test_a_platform_says_nothing_is_answered_twice(theatre: Theatre) -> None:
    with theatre.open() as session:
        target, _ = prepare(theatre.platform, session, theatre.target(session))
        parts: list[Part] = [theatre.platform.shape(theatre.member(n, "vip"), target) for n in PEOPLE]
        answers = list(theatre.platform.push(session, target, parts))
    assert sorted(one.customer_id for one in answers) == sorted(PEOPLE)


def test_a_check_only_reads(theatre: Theatre) -> None:
    theatre.push({"ana": "vip"})
    before = theatre.held()
    theatre.fake.seen.clear()
    with theatre.open() as session:
        assert theatre.platform.check(session, theatre.target(session))
    assert theatre.held() == before
    assert theatre.fake.complaints == []
    assert {request.method for request in theatre.fake.seen} <= {"GET", "POST"}


def test_an_erased_person_is_gone(theatre: Theatre) -> None:
    theatre.push(PEOPLE)
    people = [Person("ana", "ana@example.com", None, theatre.ledger["ana"].native_id)]
    with theatre.open() as session:
        target, _ = prepare(theatre.platform, session, theatre.target(session))
        (receipt,) = theatre.platform.erase(session, target, people)
    assert theatre.fake.complaints == []
    assert (receipt.customer_id, receipt.done) == ("ana", True)
    assert len(theatre.held()) == len(PEOPLE) - 1


def test_opt_outs_are_read_back(theatre: Theatre) -> None:
    if not theatre.platform.reads_opt_outs:
        pytest.skip("this platform knows nothing of consent")
    theatre.push(PEOPLE)
    theatre.fake.opt_out("dora@example.com")
    people = [Person(m.customer_id, m.email, None, m.native_id) for m in theatre.ledger.values()]
    with theatre.open() as session:
        target, _ = prepare(theatre.platform, session, theatre.target(session))
        found = list(theatre.platform.opt_outs(session, target, None, people))
    assert theatre.fake.complaints == []
    assert {(one.key, one.value.lower(), one.channel) for one in found} == {(Key.EMAIL, "dora@example.com", "email")}
    assert all(one.reason for one in found)


def test_what_is_wrong_with_an_account_is_said_without_its_values(theatre: Theatre) -> None:
    settings = {**theatre.destination.settings, "colour": "hush"}
    theatre.destination = theatre.destination.model_copy(update={"settings": settings})
    with pytest.raises(ConfigurationError, match="colour") as caught:
        theatre.open()
    assert "hush" not in str(caught.value)
