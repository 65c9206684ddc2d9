"""The platforms as a page shows them: what each can do, and which laws of the suite it keeps.

``laws.json`` is written by the law suite and compared with every run of it: law → platforms that keep it, and platforms
on which it has no meaning (a file has no bad weather).
"""

import json
from functools import lru_cache
from importlib import resources

from pydantic import BaseModel, ConfigDict

from tasks.destinations.platform import Limits, Platform
from tasks.destinations.registry import all_platforms, missing_modules


class Law(BaseModel):
    """Where one law of the suite holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kept: tuple[str, ...] = ()
    without_meaning: tuple[str, ...] = ()


class Row(BaseModel):
    """One platform on the page."""

    model_config = ConfigDict(frozen=True)

    platform: str
    title: str
    docs: str
    recognised_by: str
    holds: str
    sends: str
    limits: str
    opt_outs: str
    version: str
    laws_kept: int
    laws: int
    install: str


@lru_cache(maxsize=1)
def read_laws() -> dict[str, Law]:
    """Every law by its name, as the suite recorded it."""
    text = resources.files("tasks.destinations").joinpath("laws.json").read_text(encoding="utf-8")
    return {name: Law.model_validate(where) for name, where in json.loads(text).items()}


def describe_platforms() -> tuple[Row, ...]:
    """One row per platform of the registry, sorted by slug."""
    return tuple(_row(platform) for platform in all_platforms())


def _row(platform: Platform) -> Row:
    laws = read_laws().values()
    return Row(
        platform=platform.slug,
        title=platform.title,
        docs=platform.docs,
        recognised_by=" or ".join(platform.keys),
        holds="fields, lists" if platform.uses_lists else "fields",
        sends=_sends(platform),
        limits="" if platform.embedded else _limits(platform.limits),
        opt_outs="read back" if platform.reads_opt_outs else "it has none",
        version=f"{platform.api_version} (ends {platform.retires})" if platform.retires else platform.api_version,
        laws_kept=sum(platform.slug in law.kept for law in laws),
        laws=sum(platform.slug not in law.without_meaning for law in laws),
        install=f"pip install 'retail-segmentation[{platform.extra}]'" if missing_modules(platform) else "",
    )


def _sends(platform: Platform) -> str:
    usual = _rows(platform.limits)
    if platform.volume is None:
        return usual
    return f"{usual}; above {platform.volume.above:,} customers in jobs of {platform.volume.limits.rows:,}"


def _rows(limits: Limits) -> str:
    return "one customer a request" if limits.rows == 1 else f"{limits.rows:,} customers a request"


def _limits(limits: Limits) -> str:
    parts = [f"{limits.per_second:g} requests/s"]
    if limits.parallel > 1:
        parts.append(f"{limits.parallel} at once")
    if limits.per_day:
        parts.append(f"{limits.per_day:,} a day")
    return ", ".join(parts)
