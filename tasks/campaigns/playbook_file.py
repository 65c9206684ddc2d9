"""Reading a playbook: every problem of the file at once, each with its place and its remedy."""

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

import fsspec
import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tasks.campaigns.playbook import ANY_SEGMENT, DEFAULT_AUDIENCES, DEFAULT_SEGMENTS, Play, Playbook, Who
from tasks.errors import ConfigurationError

PLACEHOLDERS = frozenset({"brand", "offer", "until", "code"})
_REMEDIES = {
    "missing": "add it",
    "string_pattern_mismatch": "write it as {pattern}",
    "literal_error": "use one of {expected}",
    "greater_than": "use more than {gt}",
    "greater_than_equal": "use {ge} or more",
    "less_than_equal": "use {le} or less",
    "string_too_long": "shorten it to {max_length} characters",
    "string_too_short": "write something",
    "too_short": "add at least {min_length}",
    "too_long": "keep at most {max_length}",
}


def default_text() -> str:
    """The packaged playbook as text, to start an own one from."""
    return resources.files("tasks.campaigns").joinpath("playbook.yaml").read_text(encoding="utf-8")


def load(
    address: str | None,
    *,
    segments: Iterable[str] = DEFAULT_SEGMENTS,
    audiences: Iterable[str] = DEFAULT_AUDIENCES,
) -> Playbook:
    """Read a playbook from a file or any fsspec address; None is the packaged one. Raises ConfigurationError."""
    text = read_text(address)
    return parse(text, name=address or "playbook.yaml", segments=segments, audiences=audiences)


def read_text(address: str | None) -> str:
    """The text of a playbook; raises ConfigurationError when it cannot be read."""
    if not address:
        return default_text()
    try:
        with fsspec.open(address, "rt", encoding="utf-8") as file:
            return str(file.read())
    except (OSError, UnicodeDecodeError) as error:
        message = f"The playbook {address} cannot be read ({type(error).__name__}): check the path and the permissions."
        raise ConfigurationError(message) from error


def text_digest(address: str | None) -> str:
    """Digest of a playbook's text: what was made from it is made again when it changes."""
    return hashlib.sha256(read_text(address).encode()).hexdigest()[:16]


def ids_in_rules(address: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids of the segments and of the audiences that a rule file defines; those of the packaged rules without one.

    Only ids are read: whether the rules are right is for the segments to say.
    """
    if not address:
        return DEFAULT_SEGMENTS, DEFAULT_AUDIENCES
    with fsspec.open(address, "rt", encoding="utf-8") as file:
        raw = _read_yaml(file.read(), address)
    found = [
        tuple(str(entry["id"]) for entry in raw.get(part) or () if isinstance(entry, dict) and "id" in entry)
        for part in ("primary", "audiences")
    ]
    return found[0], found[1]


def parse(
    text: str,
    *,
    name: str = "playbook",
    segments: Iterable[str] = DEFAULT_SEGMENTS,
    audiences: Iterable[str] = DEFAULT_AUDIENCES,
) -> Playbook:
    """Turn YAML into a playbook; raises one ConfigurationError that lists all problems with path and remedy."""
    raw = _read_yaml(text, name)
    playbook, problems = _validate(raw)
    plays = _plays(raw)
    problems += list(_across(plays, language=str(raw.get("language", "en"))))
    for path, who in _whos(raw).items():
        problems += list(_names(path, who, frozenset(segments), frozenset(audiences)))
    for path, play in plays.items():
        for language, texts in play.texts.items():
            problems += list(_placeholders(f"{path}.texts.{language}", play, texts.model_dump()))
    if problems or playbook is None:
        lines = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, 1))
        message = f"{name} has {len(problems)} problem{'s' if len(problems) > 1 else ''}:\n{lines}"
        raise ConfigurationError(message)
    return playbook


def _read_yaml(text: str, name: str) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        message = f"{name}{place} is not YAML: {getattr(error, 'problem', error)}. Check indentation and quotes there."
        raise ConfigurationError(message) from error
    if not isinstance(raw, dict):
        message = f"{name} must be a mapping with plays; start from the packaged playbook.yaml."
        raise ConfigurationError(message)
    return raw


def _validate(raw: Mapping[str, Any]) -> tuple[Playbook | None, list[str]]:
    try:
        return Playbook.model_validate(raw), []
    except ValidationError as error:
        return None, [_describe(detail, raw) for detail in error.errors(include_url=False)]


def _plays(raw: Mapping[str, Any]) -> dict[str, Play]:
    """The plays that stand on their own feet, so that the checks across plays run beside the other problems."""
    plays: dict[str, Play] = {}
    listed = raw.get("plays")
    for position, entry in enumerate(listed if isinstance(listed, list) else []):
        try:
            play = Play.model_validate(entry)
        except ValidationError:
            continue
        plays[f"plays[{position}] ({play.id})"] = play
    return plays


def _describe(detail: ErrorDetails, raw: Mapping[str, Any]) -> str:
    path = _path(detail["loc"], raw)
    kind, context = detail["type"], detail.get("ctx") or {}
    if kind == "extra_forbidden":
        return f"{path}: unknown entry; {_did_you_mean(str(detail['loc'][-1]), _known_names(detail['loc']))}"
    said = detail["msg"].removeprefix("Value error, ")
    remedy = _REMEDIES.get(kind, "")
    return f"{path}: {said[0].lower()}{said[1:]}" + (f"; {remedy.format_map(_Quiet(context))}" if remedy else "")


class _Quiet(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return key


def _path(location: tuple[int | str, ...], raw: Mapping[str, Any]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    listed = raw.get("plays")
    if len(location) > 1 and location[0] == "plays" and isinstance(location[1], int) and isinstance(listed, list):
        entry = listed[location[1]]
        if isinstance(entry, dict) and "id" in entry:
            head = f"plays[{location[1]}]"
            path = path.replace(head, f"{head} ({entry['id']})", 1)
    return path or "playbook"


def _known_names(location: tuple[int | str, ...]) -> list[str]:
    """Names allowed beside the last part of a path, found by walking the models."""
    model: type[BaseModel] | None = Playbook
    for part in location[:-1]:
        if isinstance(part, str) and model is not None and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation)
    return sorted(model.model_fields) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(inner) for inner in getattr(annotation, "__args__", ()))
    return next((model for model in found if model), None)


def _did_you_mean(given: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1)
    return f"did you mean {close[0]}?" if close else f"remove it, or use one of {', '.join(names)}"


def _across(plays: Mapping[str, Play], *, language: str) -> Iterator[str]:
    for what in ("id", "label", "priority"):
        seen: dict[object, str] = {}
        for path, play in plays.items():
            first = seen.setdefault(getattr(play, what), path)
            if first != path:
                yield f"{path}.{what}: {getattr(play, what)} is already used by {first}; choose another one"
    for path, play in plays.items():
        if play.channel == "email" and language not in play.texts:
            yield f"{path}.texts: the playbook's language {language} is missing; add texts.{language}"


def _whos(raw: Mapping[str, Any]) -> dict[str, Who]:
    """Who each play is for, also of plays that have other problems."""
    whos: dict[str, Who] = {}
    listed = raw.get("plays")
    for position, entry in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(entry, dict):
            try:
                whos[f"plays[{position}] ({entry.get('id', '?')})"] = Who.model_validate(entry.get("who"))
            except ValidationError:
                continue
    return whos


def _names(path: str, who: Who, segments: frozenset[str], audiences: frozenset[str]) -> Iterator[str]:
    named = [("who.segments", who.segments), ("who.not_segments", who.not_segments)]
    for position, move in enumerate(who.moves):
        named += [(f"who.moves[{position}].came_from", move.came_from), (f"who.moves[{position}].now_in", move.now_in)]
    for place, ids in named:
        for unknown in sorted(set(ids) - segments - {ANY_SEGMENT}):
            yield f"{path}.{place}: no segment {unknown}; {_did_you_mean(unknown, segments)}"
    for place, ids in (("who.audiences", who.audiences), ("who.not_audiences", who.not_audiences)):
        for unknown in sorted(set(ids) - audiences):
            yield f"{path}.{place}: no audience {unknown}; {_did_you_mean(unknown, audiences)}"


def _placeholders(path: str, play: Play, texts: Mapping[str, Any]) -> Iterator[str]:
    has_code = bool(play.offer and (play.offer.code or play.offer.personal_code_prefix))
    for field, value in texts.items():
        for text in value if isinstance(value, tuple) else (value,):
            for name in re.findall(r"\{(\w*)\}", text):
                if name not in PLACEHOLDERS:
                    yield f"{path}.{field}: unknown {{{name}}}; {_did_you_mean(name, PLACEHOLDERS)}"
                elif name in ("offer", "until") and not play.offer:
                    yield f"{path}.{field}: {{{name}}} but the play has no offer; add one or remove the word"
                elif name == "code" and not has_code:
                    yield f"{path}.{field}: {{code}} but the offer has no code; add offer.code or remove the word"
                elif name == "code" and field in ("subjects", "preheader"):
                    yield f"{path}.{field}: {{code}} belongs in the body, where it is personal; remove it here"
