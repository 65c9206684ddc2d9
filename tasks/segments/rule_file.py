"""Reading rule files: every problem at once, with file, line and remedy."""

import difflib
from collections.abc import Iterator, Mapping
from importlib.resources import files

from pydantic import ValidationError

from tasks.config.load import describe_problems, parse_yaml, read_text
from tasks.errors import ConfigurationError
from tasks.segments.evaluate import audience_ids, complete, primary_rule
from tasks.segments.proof import Finding, prove
from tasks.segments.rules import WHO, Example, Rule, RuleFile

DEFAULT_NAME = "segments.yaml"
Lines = Mapping[tuple[str | int, ...], int]
Problem = tuple[tuple[str | int, ...], str]


def default_text() -> str:
    """The rule file that comes with the system."""
    return files("tasks.segments").joinpath(DEFAULT_NAME).read_text(encoding="utf-8")


def load_rules(address: str = "") -> RuleFile:
    """Rules at any fsspec address; the ones that come with the system when it is empty."""
    return parse_rules(read_text(address), address) if address else parse_rules(default_text(), DEFAULT_NAME)


def parse_rules(text: str, address: str) -> RuleFile:
    """Rules from the text of a rule file, checked and proved; ``address`` names it in messages.

    Raises ``ConfigurationError`` with one line per problem: unknown key, field or operator, value of the wrong kind,
    id used twice, last rule that does not match everyone, rule that nobody can reach, example that lands elsewhere.
    """
    values, lines = parse_yaml(text, address)
    try:
        rules = RuleFile.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(describe_problems(error, address, lines, RuleFile)) from None
    problems = list(find_problems(rules))
    if problems:
        raise ConfigurationError("\n".join(f"{address}{_line(path, lines)}: {what}" for path, what in problems))
    return rules


def find_problems(rules: RuleFile) -> Iterator[Problem]:
    """What is wrong with rules that are well formed, each with its place."""
    yield from _double_ids(rules)
    yield from _wrong_seeds(rules)
    last = len(rules.primary) - 1
    if rules.primary[last].when.all != ():
        what = f"the last primary rule ({rules.primary[last].id}) must match everyone, so that nobody is left out."
        yield ("primary", last, "when"), f"{what} Write `when: everyone`, or add such a rule at the end."
        return
    places = _places(rules)
    unreachable = prove(rules).unreachable
    for finding in unreachable:
        yield (*places[finding.rule], "when"), _explain(finding)
    if not unreachable:
        yield from _wrong_examples(rules)


def _places(rules: RuleFile) -> dict[str, tuple[str | int, ...]]:
    return {
        rule.id: (kind, position)
        for kind, group in (("primary", rules.primary), ("audiences", rules.audiences))
        for position, rule in enumerate(group)
    }


def _double_ids(rules: RuleFile) -> Iterator[Problem]:
    seen: set[str] = set()
    for kind, group in (("primary", rules.primary), ("audiences", rules.audiences)):
        for position, rule in enumerate(group):
            if rule.id in seen:
                yield (kind, position, "id"), f"the id {rule.id} is used twice. Give each rule its own."
            seen.add(rule.id)


def _wrong_seeds(rules: RuleFile) -> Iterator[Problem]:
    for position, rule in enumerate(rules.primary):
        if rule.like is not None:
            what = f"{rule.id} is a look-alike, which only an audience can be. Move it to audiences, or write `when`."
            yield ("primary", position, "like"), what
    seeds = {rule.id for rule in rules.rules if rule.like is None}
    alike = {rule.id for rule in rules.rules if rule.like is not None}
    for position, rule in enumerate(rules.audiences):
        if rule.like in alike:
            what = f"{rule.like} is a look-alike itself. Name a segment or an audience that has a condition (when)."
            yield ("audiences", position, "like"), what
        elif rule.like is not None and rule.like not in seeds:
            close = difflib.get_close_matches(rule.like, seeds, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(sorted(seeds))}."
            yield ("audiences", position, "like"), f"there is no segment or audience {rule.like!r}. {hint}"


def _explain(finding: Finding) -> str:
    if not finding.taken_by:
        return f"{finding.rule} contradicts itself: no customer can fulfil it. Mend or remove it."
    return (
        f"{finding.rule} can never be reached: every customer it describes is taken before by "
        f"{' and '.join(finding.taken_by)}. Move it up, or make the earlier rule narrower."
    )


def _wrong_examples(rules: RuleFile) -> Iterator[Problem]:
    for name, place in _places(rules).items():
        rule = next(rule for rule in rules.rules if rule.id == name)
        for side, wanted, examples in (("in", True, rule.examples.inside), ("out", False, rule.examples.outside)):
            for position, example in enumerate(examples):
                if (told := _judge(rules, rule, example, wanted=wanted)) is not None:
                    yield (*place, "examples", side, position), told


def _judge(rules: RuleFile, rule: Rule, example: Example, *, wanted: bool) -> str | None:
    customer = complete(example)
    who = str(example.get(WHO) or "the example")
    landed = primary_rule(rules, customer).id if rule in rules.primary else None
    inside = landed == rule.id if landed else rule.id in audience_ids(rules, customer)
    if inside == wanted:
        return None
    where = f"lands in {landed}" if landed else f"is {'in' if inside else 'not in'} {rule.id}"
    should = "belong to" if wanted else "stay out of"
    return f"{who!r} should {should} {rule.id} but {where}. Mend the example or the rule."


def _line(path: tuple[str | int, ...], lines: Lines) -> str:
    found = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
    return "" if found is None else f" line {found}"
