"""Looking at all sources without writing anything: files, columns, expressions, types, time zones."""

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers

from tasks.config import Config, Source
from tasks.errors import TransientError
from tasks.intake.files import list_files
from tasks.intake.mapping import find_problems, find_type_problems
from tasks.intake.reading import UnreadableFileError, open_file


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a source: the configuration key, the text with the remedy, whether a run must not start."""

    source: str
    key: str
    text: str
    severe: bool = True

    def __str__(self) -> str:
        return f"source {self.source}, {self.key}: {self.text}"


def check_sources(config: Config) -> list[Problem]:
    """Every problem of every source that reads files, judged by its newest file; nothing is written."""
    problems = [problem for source in config.sources if source.files for problem in _check(source, config)]
    if config.country and config.country.upper() not in phonenumbers.SUPPORTED_REGIONS:
        problems.append(
            Problem("all", "country", f"{config.country!r} is no country code. Write two letters, like GB.")
        )
    return problems


def _check(source: Source, config: Config) -> Iterator[Problem]:
    yield from _check_settings(source)
    yield from (Problem(source.name, problem.key, problem.text) for problem in find_problems(source))
    try:
        files = list_files(source)
    except TransientError as error:
        yield Problem(source.name, "files", f"{error} See whether the address and the credentials are right.")
        return
    if not files:
        text = f"no file matches {source.files}. Put files there, or mend the address."
        yield Problem(source.name, "files", text, severe=source.required)
        return
    newest = files[-1]
    try:
        with open_file(newest, source, config.memory_limit) as opened:
            for problem in find_type_problems(source, opened.schema):
                yield Problem(source.name, problem.key, f"{problem.text} ({newest.uri})")
    except UnreadableFileError as error:
        yield Problem(source.name, "files", f"{newest.uri} {error}.")


def _check_settings(source: Source) -> Iterator[Problem]:
    if source.timezone:
        try:
            ZoneInfo(source.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            text = f"{source.timezone!r} is no time zone. Write it like Europe/London."
            yield Problem(source.name, "timezone", text)
    if ":" in source.id_space or not source.id_space:
        yield Problem(source.name, "id_space", "must be a name without a colon.")
