"""What BigQuery refuses with 403, and what a load is given."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr

from tasks.config import DestinationSettings
from tasks.destinations.accounts import account_of
from tasks.destinations.answers import Conversation
from tasks.destinations.http import HttpSession
from tasks.destinations.limits import unpaced
from tasks.destinations.platform import Change, Field, Kind, Member, Target
from tasks.destinations.platforms.bigquery import PLATFORM
from tasks.destinations.prepare import prepare
from tasks.destinations.rehearsal.bigquery import BigQuery
from tasks.destinations.rehearsal.fake import Reply, Request, serve

pytest.importorskip("google.cloud.bigquery")
FIELDS = (Field("segment", "rs_segment", Kind.TEXT), Field("products", "rs_products", Kind.TEXTS))
ANA = Member("ana", Change.ENTER, "ana", None, None, {"rs_segment": "vip", "rs_products": None})


class Strict(BigQuery):
    """Refuses the next ``left`` uploads for ``reason``."""

    reason, left = "", 0

    def authorise(self, request: Request) -> Reply | None:
        if not self.left or not request.path.startswith("/upload/"):
            return super().authorise(request)
        self.left -= 1
        return Reply(403, {"error": {"code": 403, "message": "No", "errors": [{"reason": self.reason}]}})


@contextmanager
def talking(fake: BigQuery, **more: str) -> Iterator[tuple[HttpSession, Target]]:
    settings = DestinationSettings(platform="bigquery", settings={**fake.settings(), **more})
    account = account_of(PLATFORM, settings, SecretStr(fake.secret))
    with HttpSession(PLATFORM, account, "q", unpaced, sleep=lambda _: None) as session:
        yield session, prepare(PLATFORM, session, Target("here", account, FIELDS, push_id="p"))[0]


def push(fake: Strict, reason: str, left: int) -> tuple[str, str]:
    with serve(fake), talking(fake) as (session, target):
        fake.reason, fake.left = reason, left
        (answer,) = Conversation(PLATFORM, session, target).deliver([PLATFORM.shape(ANA, target)])
    return str(answer.verdict), answer.reason


def test_a_rate_that_was_passed_is_waited_for() -> None:
    fake = Strict()
    assert push(fake, "rateLimitExceeded", 2) == ("delivered", "")
    assert fake.left == 0


def test_a_quota_that_is_used_up_leaves_everybody_for_later_and_blames_no_credentials() -> None:
    verdict, reason = push(Strict(), "quotaExceeded", 1_000)
    assert (verdict, "quotaExceeded" in reason, "credentials" in reason) == ("later", True, False)


def test_a_right_that_is_missing_is_a_persons_business_and_is_not_tried_again() -> None:
    fake = Strict()
    verdict, reason = push(fake, "accessDenied", 1_000)
    assert (verdict, "Check the credentials" in reason, fake.left) == ("later", True, 999)


def test_what_is_empty_is_left_out_of_a_load_that_refuses_null_in_a_list() -> None:
    fake = BigQuery()
    with serve(fake), talking(fake) as (session, target):
        part = PLATFORM.shape(ANA, target)
        assert part.body == {"customer_id": "ana", "run_id": "p", "rs_gone": False, "rs_segment": "vip"}
        Conversation(PLATFORM, session, target).deliver([part])
        assert fake.people() == {"ana": {"rs_segment": "vip"}}
        part.body["rs_products"] = None
        Conversation(PLATFORM, session, target).deliver([part])
    assert "Only optional fields can be set to NULL" in fake.complaints[0]


def test_a_dataset_of_any_name_is_created() -> None:
    """An answer about a dataset can contain the word table."""
    fake = BigQuery()
    with serve(fake), talking(fake, dataset="tableau"):
        assert (fake.datasets, list(fake.tables)) == ({"tableau"}, ["shop.tableau.customer_segments"])
    assert fake.complaints == []
