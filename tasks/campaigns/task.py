"""The door of the campaign stage."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from pydantic import SecretStr

from tasks.campaigns import opt_outs
from tasks.campaigns.assignment import Lot
from tasks.campaigns.day import READS, WRITES, make
from tasks.campaigns.drafts import Studio, languages
from tasks.campaigns.holdout import key_bytes
from tasks.campaigns.order import Order
from tasks.campaigns.playbook import Playbook
from tasks.campaigns.playbook_file import ids_in_rules, load, text_digest
from tasks.campaigns.sendgrid_account import read_suppressions
from tasks.campaigns.sendgrid_wire import Wire
from tasks.campaigns.settings import SendGridSettings
from tasks.campaigns.summary import DaySummary, as_markdown
from tasks.campaigns.words import read_words
from tasks.config import Config
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.lake.opened import identity, open_lake
from tasks.secrets import find_secret, person_key
from tasks.stage import RETRIES, stage

_FACTS = tuple(table for table in READS if table not in {*WRITES, "suppressions", "forgotten"})
_SETTINGS = ("campaigns", "playbook", "segments", "currency")


@task(name="read opt-outs of the sending account", **RETRIES)
def read_opt_outs(config: Config, as_of: date, known: Snapshots) -> Snapshots:
    """Unsubscribes, bounces and complaints of the account into table suppressions; nothing without an account."""
    account = config.campaigns.sendgrid
    if account is None:
        return known
    lake = open_lake(config)
    found = read_suppressions(_wire(account))
    get_run_logger().info("%s addresses are suppressed at the sending account", f"{len(found):,}")
    return known.having(opt_outs.store(lake, found, as_of, person_key(lake)))


_PLAN = stage("plan campaigns", reads=_FACTS, settings=_SETTINGS, remembers=("campaign_members",))


def _plan_key(context: Any, arguments: Mapping[str, Any]) -> str:
    """A plan is made again when the playbook was edited: the configuration only names it."""
    config: Config = arguments["config"]
    return f"{_PLAN['cache_key_fn'](context, arguments)}-{text_digest(config.playbook)}"


@task(**{**_PLAN, "cache_key_fn": _plan_key})
def plan_campaigns(config: Config, as_of: date, known: Snapshots) -> DaySummary:
    """Who would get what, who would not and why, and every draft to look at; nothing leaves."""
    lake = open_lake(config)
    return make(lake, _tables(lake, known), _studio(config, lake), _order(config, lake, as_of))


@task(name="apply campaigns", persist_result=True, result_serializer="json", **RETRIES)
def apply_campaigns(config: Config, as_of: date, known: Snapshots, approved_by: str = "") -> DaySummary:
    """The same day for real: drafts in the account, or files in the outbox; a restart goes on where it was."""
    lake = open_lake(config)
    account = config.campaigns.sendgrid
    order = _order(config, lake, as_of, approved_by=approved_by, wire=_wire(account) if account else None)
    return make(lake, _tables(lake, known), _studio(config, lake), order)


@task(name="show campaigns", **RETRIES)
def show_campaigns(summary: DaySummary) -> None:
    """The drafts as artifacts: a table, and a link to the page that shows each message."""
    key = f"campaign-drafts-{summary.as_of}"
    create_markdown_artifact(as_markdown(summary), key=key, description="Campaign drafts of the day")
    address = summary.page if "://" in summary.page else f"file://{Path(summary.page).resolve()}"
    create_link_artifact(address, link_text="Look at every draft", key=f"{key}-preview")


def _tables(lake: Lake, known: Snapshots) -> list[Snapshot]:
    """What the day is made from: the run's own snapshots, and the newest of what campaigns wrote on earlier days."""
    return [known[table] if table in _FACTS else lake.latest(table) for table in READS]


def _order(
    config: Config, lake: Lake, as_of: date, *, approved_by: str | None = None, wire: Wire | None = None
) -> Order:
    return Order(
        as_of=as_of,
        lot=Lot(_key(config, lake), config.campaigns.control_share),
        person_key=SecretStr(person_key(lake)),
        applied=approved_by is not None,
        approved_by=approved_by or "",
        wire=wire,
    )


def read_playbook(config: Config) -> Playbook:
    """The configured playbook, else the packaged one; raises ConfigurationError with every problem in it."""
    segments, audiences = ids_in_rules(config.segments)
    return load(config.playbook or None, segments=segments, audiences=audiences)


def _studio(config: Config, lake: Lake) -> Studio:
    playbook = read_playbook(config)
    outbox = config.campaigns.outbox or lake.address("_outbox/campaigns")
    settings = config.campaigns.model_copy(update={"outbox": outbox})
    words = read_words(languages(playbook), settings.texts)
    return Studio(playbook, settings, words, config.currency, _key(config, lake))


def _key(config: Config, lake: Lake) -> bytes:
    """The key of hold-outs and codes: the configured secret, else one that the lake keeps."""
    name = config.campaigns.holdout_key_secret
    return key_bytes(find_secret(name) if name else SecretStr(identity(lake)))


def _wire(account: SendGridSettings) -> Wire:
    return Wire(find_secret(account.secret), account)
