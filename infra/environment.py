"""One place where the system runs (a laptop, a test, production): pools, time zone, results, limits, alerts."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from infra.job_templates import PoolType
from tasks.alerts.routes import Route, check_secret
from tasks.errors import ConfigurationError

FOLDER = Path(__file__).parent / "environments"
_BLANK = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(:-)?\}")
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
LimitName = Annotated[str, Field(pattern=r"^[^/%&<>]+$")]


class Section(BaseModel):
    """Base of every section: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pool(Section):
    """A work pool; ``defaults`` are the default values of its job variables."""

    name: Slug
    type: PoolType
    defaults: dict[str, Any] = {}


class Limit(Section):
    """A global concurrency limit: at most ``limit`` at once, or ``per_second`` when slots come back by themselves."""

    limit: int = Field(ge=1)
    per_second: float = Field(default=0, ge=0)


class Results(Section):
    """Where task results are kept so that a restart reuses them: a folder, or an S3 bucket when ``bucket`` is set."""

    folder: str = "results"
    bucket: str | None = None
    region: str | None = None
    endpoint: str | None = None

    @field_validator("endpoint")
    @classmethod
    def _tls(cls, endpoint: str | None) -> str | None:
        if endpoint and not endpoint.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError("must begin with https://")
        return endpoint


class Environment(Section):
    """Everything `infra.bootstrap` applies to a Prefect API."""

    name: Slug
    timezone: str
    directory: str
    config: str
    work_pool: Pool
    supervisor_pool: Pool
    results: Results
    limits: dict[LimitName, Limit] = {}
    alerts: tuple[Route, ...] = ()
    fresh_within_hours: float = Field(default=25, gt=0)
    heartbeat_seconds: int = Field(default=60, ge=30)
    max_restarts: int = Field(default=2, ge=0)
    restart_delay_seconds: int = Field(default=30, ge=0)
    allow_private_alert_addresses: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.timezone not in available_timezones():
            raise ValueError(f"timezone {self.timezone} is unknown; write one like Europe/London")
        names = [route.name for route in self.alerts]
        if len(names) != len(set(names)):
            raise ValueError("two alert routes have the same name")
        if self.supervisor_pool.type != "process":
            raise ValueError("supervisor_pool must be a process pool: it restarts what an ECS outage has stopped")
        return self

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools, once each (the supervisor may share the main one)."""
        return tuple({pool.name: pool for pool in (self.supervisor_pool, self.work_pool)}.values())

    @property
    def variables(self) -> dict[str, str | int]:
        """The Prefect variables that prefect.yaml uses."""
        return {name: read(self) for name, read in VARIABLES.items()}

    def secrets(self, values: Mapping[str, str]) -> dict[str, SecretStr]:
        """Return the secret of each alert route by route name; ConfigurationError lists all that are missing."""
        found, problems = {}, []
        for route in self.alerts:
            try:
                found[route.name] = SecretStr(check_secret(route, values.get(route.secret)))
            except ConfigurationError as error:
                problems.append(str(error))
        if problems:
            raise ConfigurationError("\n".join(problems))
        return found


VARIABLES: Mapping[str, Callable[[Environment], str | int]] = {
    "segmentation_work_pool": lambda environment: environment.work_pool.name,
    "segmentation_supervisor_pool": lambda environment: environment.supervisor_pool.name,
    "segmentation_timezone": lambda environment: environment.timezone,
    "segmentation_directory": lambda environment: environment.directory,
    "segmentation_config": lambda environment: environment.config,
    "segmentation_max_restarts": lambda environment: environment.max_restarts,
    "segmentation_restart_delay_seconds": lambda environment: environment.restart_delay_seconds,
}


def load_environment(name: str, values: Mapping[str, str] = os.environ) -> Environment:
    """Read ``infra/environments/<name>.yaml``, or the file at a path.

    ``${NAME}`` is filled from the environment variable NAME; ``${NAME:-}`` may be empty.
    """
    file = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
        raise ConfigurationError(f"there is no environment {name}; known: {known}; or give the path of a YAML file")
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    missing = sorted({blank for blank, optional in _BLANK.findall(str(raw)) if not optional and not values.get(blank)})
    if missing:
        raise ConfigurationError(f"{file.name} needs the environment variables {', '.join(missing)}")
    try:
        environment = Environment.model_validate(_fill(raw, values))
    except ValidationError as error:
        problems = [
            f"{file.name}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        ]
        raise ConfigurationError("\n".join(problems)) from error
    return environment.model_copy(update={"directory": _absolute(environment.directory)})


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    """Fill the blanks after parsing, so that no value can change the structure of the file."""
    if isinstance(value, str):
        return _BLANK.sub(lambda blank: values.get(blank.group(1), ""), value)
    if isinstance(value, dict):
        return {key: _fill(inner, values) for key, inner in value.items()}
    return [_fill(inner, values) for inner in value] if isinstance(value, list) else value


def _absolute(directory: str) -> str:
    """A worker runs each flow in a folder of its own: a relative directory starts where bootstrap is called."""
    return str(Path(directory).resolve())
