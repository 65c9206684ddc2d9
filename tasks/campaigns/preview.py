"""Drafts as files: each message to open, its recipients, and one page that shows all drafts of a day."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

import duckdb

from tasks.campaigns.content import environment, merge
from tasks.campaigns.drafts import Contact, Draft, Studio, contacts
from tasks.campaigns.playbook import Playbook

SAMPLES = 3
NOBODY_YET = "nobody yet"
_HUNDRED = 100
_WITHOUT = """
    SELECT CASE m.arm WHEN 'holdout' THEN 'held out of ' || c.name ELSE m.reason END AS why, count(*) AS customers
    FROM members m LEFT JOIN campaign_rows c ON c.campaign_id = m.campaign_id
    WHERE m.arm <> 'treated' GROUP BY why ORDER BY customers DESC, why
"""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def slug(name: str) -> str:
    """The name of a draft as a folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def draft_files(
    db: duckdb.DuckDBPyConnection, draft: Draft, studio: Studio, *, with_contacts: bool
) -> dict[str, bytes]:
    """Path → content: the message with its merge tags, samples as three customers would see it, and the recipients.

    Samples are merged like the sending platform merges; ``contacts.csv`` holds addresses and is written for an apply
    without account only.
    """
    folder, message = slug(draft.name), draft.message
    files = {f"{folder}/message.html": message.html.encode(), f"{folder}/message.txt": message.plain.encode()}
    for number, contact in enumerate(contacts(db, draft, studio, limit=SAMPLES), 1):
        values = {**contact.fields, **_placeholders(studio)}
        files[f"{folder}/sample-{number}.html"] = merge(message.html, values).encode()
        files[f"{folder}/sample-{number}.txt"] = merge(message.plain, values, html=False).encode()
    if with_contacts:
        files[f"{folder}/contacts.csv"] = _csv(contacts(db, draft, studio), message.fields)
    return files


def _placeholders(studio: Studio) -> dict[str, str]:
    """What the account fills in: sender and unsubscribe links, shown as what they are."""
    name = studio.settings.brand.name
    sender = {"Sender_Name": name, "Sender_Address": "Address", "Sender_City": "City", "Sender_State": "State"}
    return {**sender, "Sender_Zip": "Zip", "unsubscribe": "#unsubscribe", "unsubscribe_preferences": "#preferences"}


def _csv(rows: Iterable[Contact], fields: Sequence[str]) -> bytes:
    """Recipients as CSV; a cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["email", *fields])
    for contact in rows:
        cells = [contact.email, *(contact.fields[name] for name in fields)]
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return text.getvalue().encode()


def page(
    db: duckdb.DuckDBPyConnection,
    drafts: Sequence[Draft],
    studio: Studio,
    as_of: date,
    *,
    states: Mapping[str, str],
    approved_by: Mapping[str, str],
    offers: int,
    changed_offers: int,
) -> bytes:
    """The page ``index.html``: counts, cost, hold-out, approval, each draft to look at, offers, and who gets nothing.

    Needs ``members``, ``recipients`` and ``campaign_rows``; ``states`` and ``approved_by`` by the name of the draft.
    """
    facts = [_facts(db, draft, studio, states, approved_by) for draft in drafts]
    html = (
        environment(html=True)
        .get_template("preview.html.j2")
        .render(
            as_of=as_of,
            remark=studio.settings.remark,
            drafts=facts,
            total=sum(draft.recipients for draft in drafts),
            cost=_money(sum((draft.cost for draft in drafts), Decimal(0)), studio),
            left_out=db.sql(_WITHOUT).fetchall(),
            resting=resting(studio.playbook, as_of),
            offers=offers,
            changed_offers=changed_offers,
        )
    )
    return html.encode()


def resting(playbook: Playbook, as_of: date) -> list[tuple[str, str]]:
    """Label and reason of every play that does not run on a day."""
    everything = playbook.rests(as_of)
    plays = [(play.label, play.rests(as_of)) for play in playbook.plays if play.rests(as_of)]
    return [("All messages", everything), *plays] if everything else plays


def _facts(
    db: duckdb.DuckDBPyConnection,
    draft: Draft,
    studio: Studio,
    states: Mapping[str, str],
    approved_by: Mapping[str, str],
) -> dict[str, object]:
    campaign_id = draft.group.campaign_id
    [(held_out, advice)] = db.execute(
        "SELECT held_out, advice FROM campaign_rows WHERE campaign_id = ?", [campaign_id]
    ).fetchall()
    folder = slug(draft.name)
    return {
        "name": draft.name,
        "slug": folder,
        "goal": draft.play.goal,
        "recipients": draft.recipients,
        "held_out": held_out,
        "advice": f"{held_out:,} customers. {advice}",
        "cost": _money(draft.cost, studio),
        "exposure": _exposure(db, draft, studio),
        "status": states.get(draft.name, "planned"),
        "approved_by": approved_by.get(draft.name, NOBODY_YET),
        "subject": draft.message.subject,
        "other_subjects": draft.message.other_subjects,
        "preheader": draft.message.preheader,
        "language": draft.message.language,
        "sample": f"{folder}/sample-1.html",
        "files": [("as drafted", f"{folder}/message.html"), ("plain text", f"{folder}/message.txt")]
        + [(f"sample {n}", f"{folder}/sample-{n}.html") for n in range(1, min(SAMPLES, draft.recipients) + 1)],
    }


def _exposure(db: duckdb.DuckDBPyConnection, draft: Draft, studio: Studio) -> str:
    """What the offer costs if every recipient uses it once on a usual basket; a dash where it cannot be said."""
    offer, group = draft.play.offer, draft.group
    if offer is None or offer.value is None:
        return "–"
    if offer.kind == "amount":
        return _money(offer.value * draft.recipients, studio)
    [(baskets,)] = db.execute(
        "SELECT sum(f.average_order_value) FROM recipients r JOIN customer_features f USING (customer_id) "
        "WHERE f.as_of = ? AND r.campaign_id = ? AND r.language = ? AND r.shown = ?",
        [draft.as_of, group.campaign_id, group.language, group.shown],
    ).fetchall()
    if baskets is None:
        return "–"
    return _money((Decimal(str(baskets)) * offer.value / _HUNDRED).quantize(Decimal("0.01")), studio)


def _money(amount: Decimal, studio: Studio) -> str:
    return studio.words[studio.playbook.language].money(amount.quantize(Decimal("0.01")), studio.currency)
