"""What an account must have before a draft is made, and whom it must not be sent to."""

from collections.abc import Iterable, Mapping

from tasks.campaigns.sendgrid_wire import Wire
from tasks.errors import ConfigurationError, RejectedError

KINDS = {"unsubscribes": "unsubscribe", "bounces": "bounce", "spam_reports": "spam", "invalid_emails": "invalid"}
_PAGE = 500  # the most SendGrid gives


def check_account(wire: Wire) -> None:
    """Make sure that sender and unsubscribe group exist and can be used; only reads. Raises ConfigurationError."""
    settings = wire.settings
    try:
        sender = wire.ask("GET", f"marketing/senders/{settings.sender_id}")
    except RejectedError as error:
        message = f"There is no sender {settings.sender_id}: set sender_id to one listed under Marketing > Senders."
        raise ConfigurationError(message) from error
    if not sender.get("verified"):
        message = f"Sender {settings.sender_id} is not verified: confirm the message SendGrid sent to its address."
        raise ConfigurationError(message)
    try:
        group = wire.ask("GET", f"asm/groups/{settings.suppression_group_id}")
    except RejectedError:
        group = None
    if not group or group.get("id") != settings.suppression_group_id:
        message = (
            f"There is no unsubscribe group {settings.suppression_group_id}: set suppression_group_id to one listed "
            "under Suppressions > Unsubscribe Groups. Without it nobody could unsubscribe."
        )
        raise ConfigurationError(message)


def read_suppressions(wire: Wire) -> dict[str, str]:
    """Address in lower case → kind (unsubscribe, bounce, spam, invalid); a complaint outweighs the others."""
    found: dict[str, str] = {}
    for path, kind in KINDS.items():
        for entry in _offset_pages(wire, f"suppression/{path}"):
            address = str(entry.get("email", "")).strip().lower()
            if address and (kind == "spam" or address not in found):
                found[address] = kind
    group = wire.ask("GET", f"asm/groups/{wire.settings.suppression_group_id}/suppressions")
    for address in group or []:
        found.setdefault(str(address).strip().lower(), "unsubscribe")
    return found


def _offset_pages(wire: Wire, path: str) -> Iterable[Mapping[str, object]]:
    offset = 0
    while True:
        page = wire.ask("GET", path, query={"limit": _PAGE, "offset": offset}) or []
        yield from page
        if len(page) < _PAGE:
            return
        offset += _PAGE


def ensure_fields(wire: Wire, names: Iterable[str]) -> dict[str, str]:
    """Name → id of our custom fields, made where missing: values are keyed by id, a name would be refused.

    Raises ConfigurationError when a field of that name has another type.
    """
    known = _fields(wire)
    for name in sorted(names):
        if name.lower() not in known:
            known |= _create_field(wire, name)
        kind = known[name.lower()][1]
        if kind != "Text":
            message = (
                f"The custom field {name} is of type {kind}, ours is Text: rename it in SendGrid, "
                "or choose another prefix (campaigns.sendgrid.prefix)."
            )
            raise ConfigurationError(message)
    return {name: known[name.lower()][0] for name in names}


def _fields(wire: Wire) -> dict[str, tuple[str, str]]:
    answer = wire.ask("GET", "marketing/field_definitions")
    return {f["name"].lower(): (f["id"], f["field_type"]) for f in answer.get("custom_fields") or []}


def _create_field(wire: Wire, name: str) -> dict[str, tuple[str, str]]:
    try:
        made = wire.ask("POST", "marketing/field_definitions", body={"name": name, "field_type": "Text"}, again=False)
    except RejectedError as error:
        found = _fields(wire)  # another run was faster; names are unique whatever their case
        if name.lower() in found:
            return found
        message = f"The custom field {name} cannot be made ({error}): free one of the account's field places."
        raise ConfigurationError(message) from error
    if not made or not made.get("id"):
        message = f"SendGrid made the custom field {name} without an id: look at it under Marketing > Custom Fields."
        raise ConfigurationError(message)
    return {name.lower(): (made["id"], made.get("field_type", "Text"))}


def ensure_lists(wire: Wire, names: Iterable[str]) -> dict[str, str]:
    """Name → id of contact lists, made where missing; found by name first, as a name may exist twice."""
    known: dict[str, str] = {}
    for entry in wire.pages("GET", "marketing/lists", size=1000):
        known.setdefault(entry["name"], entry["id"])
    for name in names:
        if name not in known:
            known[name] = wire.ask("POST", "marketing/lists", body={"name": name}, again=False)["id"]
    return {name: known[name] for name in names}
