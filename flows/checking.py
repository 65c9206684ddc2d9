"""Looking at everything a run will need, without writing anything anywhere."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from tasks.campaigns.task import read_playbook
from tasks.config import Config, DestinationSettings, Source, load_config
from tasks.destinations.apply import Connect
from tasks.destinations.desired import chosen_fields, key_of
from tasks.destinations.limits import LocalPace
from tasks.destinations.platform import Target
from tasks.destinations.registry import platform_of
from tasks.destinations.task import connect_accounts
from tasks.errors import ConfigurationError, SegmentationError
from tasks.intake.inspection import check_sources
from tasks.intake.sources.pull import check_source
from tasks.intake.sources.wire import Patience
from tasks.lake.opened import open_lake
from tasks.lake.storage import filesystem
from tasks.secrets import find_secret
from tasks.segments.proof import prove
from tasks.segments.segmentation import read_rules


class Finding(BaseModel):
    """One thing that was looked at: passed, told (works, but look at it) or stopped (a run would fail)."""

    model_config = ConfigDict(frozen=True)

    verdict: str
    subject: str
    message: str


def check_everything(address: str) -> list[Finding]:
    """Check configuration, lake, sources, rules and destinations; raises ConfigurationError for an unreadable file."""
    config = load_config(address)
    looks = (_check_lake, _check_sources, _check_rules, _check_playbook, _check_destinations)
    parts = [look(config) for look in looks]
    return [Finding(verdict="passed", subject="configuration", message=address)] + [
        one for part in parts for one in part
    ]


def _stopped(subject: str, error: Exception) -> Finding:
    return Finding(verdict="stopped", subject=subject, message=str(error))


def _check_lake(config: Config) -> Iterator[Finding]:
    try:
        found = filesystem(config.lake).exists(config.lake)
    except (SegmentationError, OSError) as error:
        yield _stopped("lake", error)
        return
    yield Finding(verdict="passed", subject="lake", message=config.lake if found else f"{config.lake} (will be made)")


def _check_sources(config: Config) -> Iterator[Finding]:
    problems = check_sources(config)
    for problem in problems:
        yield Finding(
            verdict="stopped" if problem.severe else "told",
            subject=f"source {problem.source}",
            message=f"{problem.key}: {problem.text}",
        )
    wrong = {problem.source for problem in problems}
    for source in config.sources:
        if source.connector:
            yield _check_connector(config, source)
        elif source.name not in wrong:
            yield Finding(verdict="passed", subject=f"source {source.name}", message=source.files)
    if not config.sources:
        yield Finding(verdict="stopped", subject="sources", message="No source is configured. Add one under `sources`.")


def _check_connector(config: Config, source: Source) -> Finding:
    """What the source itself answers; one that is not required tells, for a run goes on without it."""
    subject = f"source {source.name}"
    try:
        return Finding(
            verdict="passed",
            subject=subject,
            message=check_source(open_lake(config), source, find_secret, Patience(attempts=2)),
        )
    except ConfigurationError as error:
        return _stopped(subject, error)
    except SegmentationError as error:
        return Finding(verdict="stopped" if source.required else "told", subject=subject, message=str(error))


def _check_rules(config: Config) -> Iterator[Finding]:
    try:
        rules = read_rules(open_lake(config), config)
    except SegmentationError as error:
        yield _stopped("segments", error)
        return
    count = f"{len(rules.file.primary)} segments, {len(rules.file.audiences)} audiences"
    yield Finding(verdict="passed", subject="segments", message=f"{rules.address}: {count}")
    for name in prove(rules.file).undecided:
        yield Finding(
            verdict="told",
            subject=f"rule {name}",
            message="Too entangled with the rules before it to prove that anybody can get there. "
            "Add a customer under `examples: in`, or split the rule.",
        )


def _check_playbook(config: Config) -> Iterator[Finding]:
    try:
        plays = read_playbook(config).plays
    except SegmentationError as error:
        yield _stopped("playbook", error)
        return
    yield Finding(verdict="passed", subject="playbook", message=f"{len(plays)} campaigns")


def _check_destinations(config: Config) -> Iterator[Finding]:
    connect = connect_accounts(LocalPace())  # a check writes nothing, limits included
    for destination in config.destinations:
        try:
            message = _check_account(destination, connect)
        except SegmentationError as error:
            yield _stopped(f"destination {destination.name}", error)
        else:
            yield Finding(verdict="passed", subject=f"destination {destination.name}", message=message)


def _check_account(destination: DestinationSettings, connect: Connect) -> str:
    platform = platform_of(destination.platform)
    with connect(destination, platform) as session:
        fields, key = chosen_fields(destination, platform), key_of(destination, platform)
        target = Target(destination.name, session.account, fields, key=key)
        return platform.check(session, target)
