"""Messages: subject, HTML and plain text of a campaign in one language, with merge tags where customers differ."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tasks.campaigns.playbook import Offer, Play, Texts
from tasks.campaigns.settings import Brand, CampaignSettings
from tasks.campaigns.words import Words
from tasks.errors import ConfigurationError

SENDER_TAGS = ("Sender_Name", "Sender_Address", "Sender_City", "Sender_State", "Sender_Zip")
LONGEST_HTML = 102_400  # Gmail cuts a message off at about 102 kB, the unsubscribe link with it
_TAG = re.compile(r"\{\{\{?\s*([\w.]+)\s*\}?\}\}")


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it is drafted; ``fields`` are the merge fields that every recipient must bring."""

    subject: str
    other_subjects: tuple[str, ...]
    preheader: str
    html: str
    plain: str
    language: str
    fields: tuple[str, ...]


def compose(
    play: Play, as_of: date, settings: CampaignSettings, words: Words, *, shown: int, currency: str, prefix: str = "rs"
) -> Message:
    """Render a play for a day: ``shown`` products, merge tags named ``<prefix>_<field>``.

    The subject takes turns from day to day. Raises ConfigurationError when a text asks for what the play has not.
    """
    texts, brand = play.texts[words.language], settings.brand
    fields = _fields(play, brand, shown)
    filled = _fill(texts, _terms(play, as_of, words, brand=brand, currency=currency, prefix=prefix))
    turn = as_of.toordinal() % len(filled.subjects)
    facts: dict[str, Any] = {
        "play": play,
        "texts": filled,
        "words": words,
        "brand": brand,
        "offer": offer_words(play.offer, words, currency) if play.offer else "",
        "until": words.day(until) if (until := play.offer_until(as_of)) else "",
        "code": _code(play, prefix),
        "why": _substitute(
            words.why_consent if settings.consent == "granted" else words.why_customer, {"brand": brand.name}
        ),
        "numbers": range(1, shown + 1),
        "pictures": brand.placeholder_image_url is not None,
        "home": _home(brand, play.campaign_id(as_of)),
        "tag": lambda name: Markup("{{" + f"{prefix}_{name}" + "}}"),  # noqa: S704 - our own field names
        "fill": lambda text, **values: _substitute(text, values),
    }
    html = re.sub(r"\n\s*\n+", "\n", environment(html=True).get_template(f"{play.template}.html.j2").render(facts))
    plain = environment(html=False).get_template("message.txt.j2").render(facts)
    message = Message(
        subject=str(filled.subjects[turn]),
        other_subjects=tuple(s for n, s in enumerate(filled.subjects) if n != turn),
        preheader=filled.preheader,
        html=html,
        plain=re.sub(r"\n{3,}", "\n\n", plain).strip() + "\n",
        language=words.language,
        fields=tuple(f"{prefix}_{name}" for name in fields),
    )
    _check(message, play)
    return message


def merge(template: str, values: Mapping[str, str], *, html: bool = True) -> str:
    """Fill in merge tags the way the sending platform does, for previews; raises KeyError for a field not given."""
    return _TAG.sub(lambda found: str(escape(values[found[1]])) if html else values[found[1]], template)


def offer_words(offer: Offer, words: Words, currency: str) -> str:
    """The offer in words, with its condition."""
    value = offer.value
    if value is None:
        said = words.free_delivery if offer.kind == "free_delivery" else words.double_points
    elif offer.kind == "percent":
        said = _substitute(words.percent, {"value": words.number(value)})
    else:
        said = _substitute(words.amount, {"value": words.money(value, currency)})
    if offer.minimum_spend is None:
        return said
    return _substitute(words.with_minimum, {"offer": said, "minimum": words.money(offer.minimum_spend, currency)})


def _fields(play: Play, brand: Brand, shown: int) -> list[str]:
    code = ["code"] if play.offer and play.offer.personal_code_prefix else []
    parts = ["name", "reason", "note", "link"] + (["image"] if brand.placeholder_image_url else [])
    return ["greeting", *code, *(f"p{number}_{part}" for number in range(1, shown + 1) for part in parts)]


def _code(play: Play, prefix: str) -> str:
    if play.offer and play.offer.personal_code_prefix:
        return Markup("{{" + f"{prefix}_code" + "}}")  # noqa: S704 - our own field name
    return (play.offer.code or "") if play.offer else ""


def _terms(play: Play, as_of: date, words: Words, *, brand: Brand, currency: str, prefix: str) -> dict[str, str]:
    terms = {"brand": brand.name, "code": _code(play, prefix)}
    if play.offer and (until := play.offer_until(as_of)):
        terms |= {"offer": offer_words(play.offer, words, currency), "until": words.day(until)}
    return terms


def _fill(texts: Texts, terms: Mapping[str, str]) -> Texts:
    """Texts with their placeholders filled in; built without validation, as lengths were checked before."""
    return texts.model_copy(
        update={
            "subjects": tuple(_substitute(text, terms) for text in texts.subjects),
            "body": tuple(_substitute(text, terms) for text in texts.body),
            **{n: _substitute(getattr(texts, n), terms) for n in ("preheader", "headline", "button")},
        }
    )


def _substitute(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), text)


def _home(brand: Brand, campaign_id: str) -> str:
    asked = urlencode({"utm_source": brand.utm_source, "utm_medium": "email", "utm_campaign": campaign_id})
    return f"{brand.website}{'&' if '?' in brand.website else '?'}{asked}"


@cache
def environment(*, html: bool) -> Environment:
    """The templates; escaped for HTML, and strict: nothing missing and no None is ever printed."""
    return Environment(
        loader=PackageLoader("tasks.campaigns"),
        autoescape=html,  # noqa: S701 - off for the plain-text part alone, which is not markup
        undefined=StrictUndefined,
        finalize=_never_none,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


def _never_none(value: object) -> object:
    if value is None:
        message = "A template would print None: the campaign settings or the play lack something it needs."
        raise ConfigurationError(message)
    return value


def _check(message: Message, play: Play) -> None:
    """Refuse a message that could not be unsubscribed from, would be cut off, or merges what nobody fills in."""
    known = {*message.fields, *SENDER_TAGS, "unsubscribe", "unsubscribe_preferences"}
    problems = []
    for text in (message.subject, message.preheader, message.html, message.plain):
        problems += [f"unknown merge tag {tag}" for tag in sorted(set(_TAG.findall(text)) - known)]
    for part, text in (("HTML", message.html), ("plain text", message.plain)):
        problems += [
            f"no {tag} in the {part}" for tag in ("{{{unsubscribe}}}", "{{Sender_Name}}", "{{Sender_Address}}")
            if tag not in text
        ]  # fmt: skip
    if len(message.html.encode()) > LONGEST_HTML:
        problems.append(f"{len(message.html.encode()):,} bytes of HTML, mail programs cut off at {LONGEST_HTML:,}")
    if problems:
        text = f"The message of play {play.id} ({message.language}) cannot be used: {'; '.join(problems)}."
        raise ConfigurationError(text)
