"""Drafts: what would be sent to whom, built the same way for the outbox and for an account."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import duckdb
import orjson

from tasks.campaigns.content import Message, compose
from tasks.campaigns.personal import writer
from tasks.campaigns.playbook import Play, Playbook
from tasks.campaigns.recipients import Group, groups, people
from tasks.campaigns.settings import CampaignSettings
from tasks.campaigns.words import Words

LONGEST_NAME = 100  # SendGrid's limit for the names of Single Sends and lists
_THOUSAND = 1000
_FOUR_PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Draft:
    """One message for one group of recipients; ``name`` is how it is found again everywhere."""

    as_of: date
    name: str
    play: Play
    group: Group
    message: Message
    cost: Decimal
    digest: str

    @property
    def recipients(self) -> int:
        """How many customers it is for."""
        return self.group.recipients


@dataclass(frozen=True, slots=True)
class Contact:
    """One recipient as a sending platform needs it: ``fields`` are complete and safe to merge."""

    customer_id: str
    email: str
    fields: Mapping[str, str]

    def digest(self, list_id: str) -> str:
        """Changes when anything about the contact changes that the platform must be told."""
        return _digest([list_id, self.email, sorted(self.fields.items())])


@dataclass(frozen=True, slots=True)
class Studio:
    """What drafts are made with, the same for all of a day."""

    playbook: Playbook
    settings: CampaignSettings
    words: Mapping[str, Words]
    currency: str
    key: bytes

    @property
    def prefix(self) -> str:
        """Prefix of our merge fields."""
        return self.settings.sendgrid.prefix if self.settings.sendgrid else "rs"


def languages(playbook: Playbook) -> frozenset[str]:
    """Every language that the playbook writes in."""
    return frozenset(language for play in playbook.plays for language in play.texts)


def build(db: duckdb.DuckDBPyConnection, studio: Studio, as_of: date) -> tuple[Draft, ...]:
    """The drafts of a day, one per group of ``recipients``, in a fixed order."""
    return tuple(_draft(group, studio, as_of) for group in groups(db))


def contacts(
    db: duckdb.DuckDBPyConnection, draft: Draft, studio: Studio, limit: int | None = None
) -> Iterator[Contact]:
    """Recipients of a draft with their merge fields, in the order of their ids."""
    write = writer(
        draft.play,
        draft.group.campaign_id,
        shown=draft.group.shown,
        words=studio.words[draft.group.language],
        brand=studio.settings.brand,
        currency=studio.currency,
        key=studio.key,
    )
    named = [(field, field.removeprefix(f"{studio.prefix}_")) for field in draft.message.fields]
    for person in people(db, draft.group, limit):
        found = write(person)
        yield Contact(person.customer_id, person.email, {field: found[name] for field, name in named})


def _draft(group: Group, studio: Studio, as_of: date) -> Draft:
    play = studio.playbook.play(group.play)
    message = compose(
        play,
        as_of,
        studio.settings,
        studio.words[group.language],
        shown=group.shown,
        currency=studio.currency,
        prefix=studio.prefix,
    )
    account = studio.settings.sendgrid
    sender = [account.sender_id, account.suppression_group_id] if account else []
    return Draft(
        as_of=as_of,
        name=draft_name(play, group, as_of),
        play=play,
        group=group,
        message=message,
        cost=(studio.settings.cost_per_thousand * group.recipients / _THOUSAND).quantize(_FOUR_PLACES),
        digest=_digest([message.subject, message.html, message.plain, sender]),
    )


def draft_name(play: Play, group: Group, as_of: date) -> str:
    """Name of a draft: play, day and language, and how many products where it is fewer than the play asks for."""
    fewer = f", {group.shown or 'no'} products" if group.shown < play.products_shown else ""
    return f"{play.label}, {as_of}, {group.language}{fewer}"[:LONGEST_NAME]


def _digest(parts: list[object]) -> str:
    return hashlib.blake2b(orjson.dumps(parts), digest_size=16).hexdigest()
