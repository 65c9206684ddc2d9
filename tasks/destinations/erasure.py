"""Erasing people on platforms that know them by their address."""

from collections.abc import Callable, Iterable, Sequence

from tasks.destinations.people import Person, Receipt
from tasks.destinations.session import Session
from tasks.destinations.target import Target

Erase = Callable[[Session, Target, Sequence[Person]], Iterable[Receipt]]


def no_address(person: Person) -> Receipt:
    """Nothing could be done: a person must look for them on the platform."""
    return Receipt(person.customer_id, done=False, note="the address is not known")


def by_address(erase: Callable[[Session, Target, str], str]) -> Erase:
    """Make an erasure of people from one of an address, which returns the platform's reference."""

    def erase_people(session: Session, target: Target, people: Sequence[Person]) -> Iterable[Receipt]:
        for person in people:
            if person.email:
                yield Receipt(person.customer_id, done=True, reference=erase(session, target, person.email))
            else:
                yield no_address(person)

    return erase_people
