"""What is different in each customer's copy of a message: greeting, code and products, always complete."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b

from tasks.campaigns import clean_text
from tasks.campaigns.playbook import Play
from tasks.campaigns.settings import Brand
from tasks.campaigns.words import Words

BECAUSE_LANGUAGE = "en"  # recommendations carry their reason in English; other languages use their own words
FEW = 5
_READABLE = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_LONGEST_REASON = 90
_LONGEST_LINK = 400
_REMEMBERED = 65_536  # the same product for the same reason comes back with many customers


@dataclass(frozen=True, slots=True)
class Product:
    """One recommended product; ``stock`` None is unknown and taken as available."""

    product_id: str
    name: str
    kind: str
    because: str = ""
    price: Decimal | None = None
    stock: float | None = None
    url: str | None = None
    image_url: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """One treated customer with the products to show, best first."""

    customer_id: str
    email: str
    first_name: str | None = None
    products: tuple[Product, ...] = ()


def personal_code(key: bytes, prefix: str, campaign_id: str, customer_id: str) -> str:
    """A voucher code that only the retailer can make: prefix and eight letters or digits from a keyed hash.

    Without I, L, O and U (Crockford's base 32), so that it can be read out at the till.
    """
    digest = blake2b(f"code|{campaign_id}|{customer_id}".encode(), digest_size=5, key=key).digest()
    letters = base64.b32encode(digest).decode().translate(_READABLE)
    return f"{prefix}{letters}"


def writer(
    play: Play, campaign_id: str, *, shown: int, words: Words, brand: Brand, currency: str, key: bytes
) -> Callable[[Person], dict[str, str]]:
    """Person → merge field → text: every field the message names, none of them blank."""
    prefix = play.offer.personal_code_prefix if play.offer else None

    @lru_cache(maxsize=_REMEMBERED)
    def card(number: int, product: Product) -> Mapping[str, str]:
        parts = _card(product, words=words, brand=brand, currency=currency)
        return {f"p{number}_{part}": text for part, text in parts.items()}

    def write(person: Person) -> dict[str, str]:
        name = clean_text.person_name(person.first_name)
        found = {"greeting": words.greeting_named.replace("{name}", name) if name else words.greeting}
        if prefix:
            found["code"] = personal_code(key, prefix, campaign_id, person.customer_id)
        for number, product in enumerate(person.products[:shown], 1):
            found |= card(number, product)
        return found

    return write


def _card(product: Product, *, words: Words, brand: Brand, currency: str) -> dict[str, str]:
    fixed: Mapping[str, str] = {
        "replenish": words.replenish, "cross_sell": words.cross_sell, "up_sell": words.up_sell,
    }  # fmt: skip
    told = ""
    if words.language == BECAUSE_LANGUAGE:
        told = clean_text.sentence(product.because, _LONGEST_REASON, shouting=(product.name or "").isupper())
    stock = ""
    if product.stock is not None:
        stock = words.few_left if product.stock <= FEW else words.in_stock
    price = words.money(product.price, currency) if product.price else ""
    address = clean_text.link(product.url)
    card = {
        "name": clean_text.product_name(product.name),
        "reason": told or fixed.get(product.kind, words.popular),
        "note": " · ".join(part for part in (price, stock) if part) or words.see_product,
        "link": address if 0 < len(address) <= _LONGEST_LINK else brand.website,
    }
    if brand.placeholder_image_url:
        card["image"] = clean_text.link(product.image_url) or brand.placeholder_image_url
    return card
