"""What must exist on a platform before a push: read what is there, create only what is missing."""

from dataclasses import replace

from tasks.destinations.platform import Known, Platform, Session, Target, Thing
from tasks.destinations.understood import understood
from tasks.errors import RejectedError, TransientError

TRIES = 8  # a creation whose answer was lost is looked up before it is tried again


def missing(platform: Platform, session: Session, target: Target) -> tuple[Thing, ...]:
    """The things a push would create, in the order of creation; reads only."""
    with understood(platform):
        known = platform.known(session, target)
    return tuple(thing for thing in platform.wants(target) if (thing.kind, thing.name) not in known)


def prepare(platform: Platform, session: Session, target: Target) -> tuple[Target, tuple[Thing, ...]]:
    """Create what is missing; returns the target with the platform's ids and what was created.

    Doing it twice creates nothing the second time. A refusal because the thing exists already is looked up again.
    """
    created: list[Thing] = []
    with understood(platform):
        known: dict[tuple[str, str], str] = dict(platform.known(session, target))
        for thing in platform.wants(target):
            if (thing.kind, thing.name) not in known:
                known.update(_ensure(platform, session, replace(target, known=known), thing))
                created.append(thing)
    return replace(target, known=known), tuple(created)


def _ensure(platform: Platform, session: Session, target: Target, thing: Thing) -> Known:
    name = (thing.kind, thing.name)
    for left in range(TRIES - 1, -1, -1):
        try:
            with session.once():
                return {name: platform.create(session, target, thing)}
        except (TransientError, RejectedError):
            known = platform.known(session, target)
            if name in known:
                return known
            if not left:
                raise
    raise TransientError(f"{target.destination}: {thing} could not be created")
