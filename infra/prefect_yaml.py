"""A strict reading of prefect.yaml: what `prefect deploy` drops in silence is refused here.

Prefect 3.8 ignores keys it does not know. The worst case is ``expects:`` in a trigger: it becomes an automation that
matches every event, those of the runs it starts included, and takes the server down within minutes.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import jsonschema
import yaml
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from infra.signatures import Signature, read_signature
from tasks.errors import ConfigurationError

VARIABLE = re.compile(r"\{\{\s*prefect\.variables\.(\w+)\s*\}\}")

NonEmpty = Annotated[str, Field(min_length=1)]
Labels = Annotated[dict[NonEmpty, NonEmpty | list[NonEmpty]], Field(min_length=1)]


class Strict(BaseModel):
    """Base of every section: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(Strict):
    """One schedule: exactly one of cron, interval (seconds) and rrule."""

    cron: str | None = None
    interval: float | None = Field(default=None, gt=0)
    rrule: str | None = None
    timezone: str | None = None
    anchor_date: str | None = None
    day_or: bool = True
    active: bool = True
    slug: NonEmpty
    replaces: str | None = None
    parameters: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(value is not None for value in (self.cron, self.interval, self.rrule)) != 1:
            raise ValueError("give exactly one of cron, interval and rrule")
        zone = None if self.timezone and VARIABLE.fullmatch(self.timezone) else self.timezone
        if self.cron is not None:
            CronSchedule(cron=self.cron, timezone=zone, day_or=self.day_or)
        elif self.rrule is not None:
            RRuleSchedule(rrule=self.rrule, timezone=zone)
        else:
            IntervalSchedule.model_validate({"interval": self.interval, "timezone": zone})
        return self


class EventTrigger(Strict):
    """A trigger on events; what it expects and whom it matches must be said, and neither may be everything."""

    type: Literal["event"]
    name: NonEmpty
    description: str = ""
    enabled: bool = True
    expect: list[NonEmpty] = Field(min_length=1)
    match: Labels
    match_related: Labels | list[Labels] | None = None
    after: list[NonEmpty] = []
    for_each: list[NonEmpty] = []
    posture: Literal["Reactive", "Proactive"] = "Reactive"
    threshold: int = Field(default=1, ge=1)
    within: float = Field(default=0, ge=0)
    parameters: dict[str, Any] = {}
    job_variables: dict[str, Any] = {}
    schedule_after: float = Field(default=0, ge=0)

    @field_validator("expect")
    @classmethod
    def _expect_something(cls, names: list[str]) -> list[str]:
        if any(name in {"*", "prefect.*"} for name in names):
            raise ValueError("expects every event, also those of the runs it starts; name the events")
        return names

    @field_validator("match")
    @classmethod
    def _match_someone(cls, labels: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        if all(value in ("*", ["*"]) for value in labels.values()):
            raise ValueError("matches every resource; name one")
        return labels


class Concurrency(Strict):
    """How many runs of one deployment go on at once, and what happens to the next one."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]
    grace_period_seconds: int | None = Field(default=None, ge=60, le=86400)


class WorkPool(Strict):
    """Where the runs of a deployment go."""

    name: NonEmpty
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = {}


class Deployment(Strict):
    """One deployment; description and tags are asked for because people and automations read them."""

    name: NonEmpty
    entrypoint: NonEmpty
    description: NonEmpty
    tags: list[NonEmpty] = Field(min_length=1)
    version: str | None = None
    parameters: dict[str, Any] = {}
    enforce_parameter_schema: Literal[True] = True
    schedules: list[Schedule] = []
    triggers: list[EventTrigger] = []
    paused: bool = False
    concurrency_limit: Concurrency | None = None
    work_pool: WorkPool


class PrefectYaml(Strict):
    """The whole file; ``definitions`` only holds YAML anchors."""

    prefect_version: str | None = Field(default=None, alias="prefect-version")
    name: NonEmpty
    definitions: dict[str, Any] = {}
    pull: list[dict[Literal["prefect.deployments.steps.set_working_directory"], dict[str, str]]]
    deployments: list[Deployment] = Field(min_length=1)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets a second key of the same name win in silence; here it is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key, times in Counter(keys).items():
            if times > 1:
                raise ConfigurationError(
                    f"line {node.start_mark.line + 1}: key {key} stands here {times} times; keep one"
                )
        return super().construct_mapping(node, deep)


def find_mistakes(file: Path, *, variables: frozenset[str], job_schemas: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return one line per mistake in prefect.yaml, [] when it is sound.

    ``variables``: the Prefect variables that exist once the project is bootstrapped. ``job_schemas``: JSON schema of
    the job variables per kind of work pool; a deployment may use what at least one kind knows, with its type.
    """
    try:
        # _UniqueKeyLoader is a SafeLoader
        raw = yaml.load(file.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506
        parsed = PrefectYaml.model_validate(raw)
    except yaml.YAMLError as error:
        return [f"not YAML: {error}".replace("\n", " ")]
    except ConfigurationError as error:
        return [str(error)]
    except ValidationError as error:
        return [_explain(raw, tuple(problem["loc"]), problem["msg"]) for problem in error.errors()]
    mistakes = [
        f"variable {name} is set by nobody; add it to infra.environment" for name in _used_variables(raw, variables)
    ]
    mistakes += list(_repeated(parsed))
    for deployment in parsed.deployments:
        found = [*_parameter_mistakes(deployment, file.parent), *_job_mistakes(deployment, job_schemas)]
        mistakes += [f"{deployment.name}: {mistake}" for mistake in found]
    return mistakes


def _explain(raw: Any, place: tuple[int | str, ...], message: str) -> str:
    names = list(place)
    if len(names) > 1 and names[0] == "deployments" and isinstance(names[1], int):
        entry = raw["deployments"][names[1]]
        name = entry.get("name") if isinstance(entry, dict) else None
        names[:2] = [name or f"deployment {names[1] + 1}"]
    parts = [str(names[0]), ".".join(map(str, names[1:])), message] if names else ["file", message]
    return ": ".join(part for part in parts if part)


def _used_variables(raw: Any, known: frozenset[str]) -> list[str]:
    return sorted(set(VARIABLE.findall(yaml.safe_dump(raw, width=10_000))) - known)


def _repeated(parsed: PrefectYaml) -> Iterator[str]:
    for name, times in Counter(deployment.name for deployment in parsed.deployments).items():
        if times > 1:
            yield f"{name}: {times} deployments have this name; names must differ, automations find them by it"
    for deployment in parsed.deployments:
        for slug, times in Counter(schedule.slug for schedule in deployment.schedules).items():
            if times > 1:
                yield f"{deployment.name}: schedule {slug} stands here {times} times"


def _parameter_mistakes(deployment: Deployment, root: Path) -> Iterator[str]:
    try:
        signature = read_signature(root, deployment.entrypoint)
    except ConfigurationError as error:
        yield str(error)
        return
    yield from _unknown("parameters", deployment.parameters, signature)
    starts = [(f"schedule {schedule.slug}", schedule.parameters) for schedule in deployment.schedules]
    starts += [(f"trigger {trigger.name}", trigger.parameters) for trigger in deployment.triggers]
    for place, parameters in starts:
        yield from _unknown(place, parameters, signature)
        for name in sorted(signature.required - deployment.parameters.keys() - parameters.keys()):
            yield f"{place}: parameter {name} has no default and gets no value; every run would fail"


def _unknown(place: str, parameters: Mapping[str, Any], signature: Signature) -> Iterator[str]:
    if not signature.accepts_any:
        for name in sorted(parameters.keys() - signature.names):
            yield f"{place}: the flow has no parameter {name} (it has {', '.join(sorted(signature.names)) or 'none'})"


def _job_mistakes(deployment: Deployment, schemas: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    places = [("work_pool", deployment.work_pool.job_variables)]
    places += [(f"trigger {trigger.name}", trigger.job_variables) for trigger in deployment.triggers]
    for place, variables in places:
        for name, value in variables.items():
            knowing = [schema for schema in schemas.values() if name in schema["properties"]]
            if not knowing:
                yield f"{place}: no kind of work pool knows the job variable {name}"
            for schema in knowing:
                for error in jsonschema.Draft202012Validator(schema).iter_errors({name: value}):
                    yield f"{place}: job variable {name}: {error.message}"
