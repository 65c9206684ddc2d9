"""Proof that every primary rule can be reached and every audience can have members.

Each field's values are cut at the constants that the rules mention into *cells* (the points and the gaps between them,
any other text, missing): inside one cell no rule can tell two values apart, so a condition is a union of boxes of cells
and "this rule minus all earlier ones" is computed exactly. What it can prove: a rule that no customer whatsoever can
reach. What it cannot: fields are taken as independent (a rule that asks for an order yesterday and none in 30 days
passes), and a rule file that grows beyond the cap of boxes is left undecided. So it never accuses a rule that some
customer could reach; rules that merely get nobody on a given day are told by the check on the assignment.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tasks.segments.evaluate import matches
from tasks.segments.fields import FIELDS, FieldInfo, Kind, Value, neutral
from tasks.segments.rules import Condition, Rule, RuleFile

MOST_BOXES = 2_000
OTHER_TEXT = "\x00any other text"

Box = Mapping[str, int]  # field (or field and list entry): bits of the cells it may be in; absent means all of them


class TooManyBoxesError(Exception):
    """The rules are too entangled to decide within the cap."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that nobody can reach: all its customers are ``taken_by`` earlier rules, or none exist (empty)."""

    rule: str
    taken_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found: ``unreachable`` rules, ``undecided`` ones, and per reachable rule a customer who lands in it."""

    unreachable: tuple[Finding, ...]
    undecided: tuple[str, ...]
    witnesses: Mapping[str, Mapping[str, Value]]


def prove(rules: RuleFile) -> Proof:
    """Decide for each primary rule, after those before it, and for each audience alone, whether anyone can be in it."""
    unreachable: list[Finding] = []
    undecided: list[str] = []
    witnesses: dict[str, Mapping[str, Value]] = {}
    cases = [(rule, rules.primary[:position]) for position, rule in enumerate(rules.primary)]
    conditioned = [audience for audience in rules.audiences if audience.like is None]
    for rule, earlier in [*cases, *((audience, ()) for audience in conditioned)]:
        try:
            space = _Space([rule, *earlier])
            left = space.remainder(rule, earlier)
            if left:
                witnesses[rule.id] = space.example(left[0])
            else:
                unreachable.append(Finding(rule.id, space.takers(rule, earlier)))
        except TooManyBoxesError:
            undecided.append(rule.id)
    return Proof(tuple(unreachable), tuple(undecided), witnesses)


class _Space:
    """The cells of all fields that some rules mention."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        constants: dict[str, set[bool | int | float | str]] = {}
        for rule in rules:
            for leaf in _leaves(rule.when):
                constants.setdefault(leaf.info.name, set()).update(leaf.constants)
        self.cells = {name: _cells(FIELDS[name], found) for name, found in sorted(constants.items())}

    def remainder(self, rule: Rule, earlier: Iterable[Rule]) -> list[Box]:
        """Boxes of the rule that no earlier rule takes."""
        left = self.boxes(rule.when)
        for other in earlier:
            for taken in self.boxes(other.when):
                left = _capped(piece for box in left for piece in self._subtract(box, taken))
        return left

    def takers(self, rule: Rule, earlier: Iterable[Rule]) -> tuple[str, ...]:
        """The one earlier rule that takes all customers of the rule, or all that take some."""
        own = self.boxes(rule.when)
        some = [other for other in earlier if any(_meet(a, b) is not None for a in own for b in self.boxes(other.when))]
        alone = [other for other in some if not self.remainder(rule, [other])]
        return tuple(other.id for other in (alone[:1] or some))

    def boxes(self, condition: Condition, *, negated: bool = False) -> list[Box]:
        """Boxes whose union is the condition."""
        if condition.not_ is not None:
            return self.boxes(condition.not_, negated=not negated)
        if condition.field is not None:
            bits = self._bits(condition)
            bits = self._full(condition.field) & ~bits if negated else bits
            return [{condition.field: bits}] if bits else []
        parts = [self.boxes(part, negated=negated) for part in condition.parts]
        if (condition.any is not None) != negated:
            return _capped(box for part in parts for box in part)
        product: list[Box] = [{}]
        for part in parts:
            product = _capped(both for box in product for other in part if (both := _meet(box, other)) is not None)
        return product

    def example(self, box: Box) -> dict[str, Value]:
        """A customer inside a box, as neutral as it allows."""
        customer = {name: neutral(info) for name, info in FIELDS.items()}
        for name, bits in box.items():
            inside = [cell for position, cell in enumerate(self.cells[name]) if bits >> position & 1]
            customer[name] = customer[name] if customer[name] in inside else inside[0]
        return customer

    def _full(self, name: str) -> int:
        return (1 << len(self.cells[name])) - 1

    def _bits(self, leaf: Condition) -> int:
        name = leaf.info.name
        return sum(1 << position for position, cell in enumerate(self.cells[name]) if matches(leaf, {name: cell}))

    def _subtract(self, box: Box, taken: Box) -> Iterator[Box]:
        if _meet(box, taken) is None:
            yield box
            return
        inner = dict(box)
        for name, bits in taken.items():
            mine = inner.get(name, self._full(name))
            if outside := mine & ~bits:
                yield {**inner, name: outside}
            inner[name] = mine & bits


def _leaves(condition: Condition) -> Iterator[Condition]:
    if condition.field is not None:
        yield condition
    for part in condition.parts:
        yield from _leaves(part)


def _meet(one: Box, other: Box) -> Box | None:
    both = dict(one)
    for name, bits in other.items():
        common = both.get(name, bits) & bits
        if not common:
            return None
        both[name] = common
    return both


def _capped(boxes: Iterable[Box]) -> list[Box]:
    found: list[Box] = []
    for box in boxes:
        found.append(box)
        if len(found) > MOST_BOXES:
            raise TooManyBoxesError
    return found


def _cells(info: FieldInfo, constants: Iterable[bool | int | float | str]) -> list[Value]:
    missing: list[Value] = [None] if info.nullable and info.kind is not Kind.LIST else []
    match info.kind:
        case Kind.FLAG:
            return [False, True, *missing]
        case Kind.TEXT:
            return [*sorted(str(constant) for constant in constants), OTHER_TEXT, *missing]
        case Kind.LIST:
            return _list_cells(sorted(str(constant) for constant in constants))
        case _:
            numbers = sorted({float(constant) for constant in constants if not isinstance(constant, str)})
            return [*_number_cells(numbers, whole=info.whole), *missing]


def _list_cells(entries: list[str]) -> list[Value]:
    if 1 << len(entries) > MOST_BOXES:
        raise TooManyBoxesError
    subsets = [
        tuple(entry for position, entry in enumerate(entries) if bits >> position & 1)
        for bits in range(1 << len(entries))
    ]
    return [*subsets, (OTHER_TEXT,)]


def _number_cells(constants: list[float], *, whole: bool) -> list[Value]:
    if not constants:
        return [0]
    cells: list[float] = [math.ceil(constants[0]) - 1, *constants, math.floor(constants[-1]) + 1]
    for low, high in itertools.pairwise(constants):
        cells.append(math.floor(low) + 1 if whole else low + (high - low) / 2)
    inside = sorted({cell for cell in cells if not whole or float(cell).is_integer()})
    return list(inside)
