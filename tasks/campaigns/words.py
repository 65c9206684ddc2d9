"""The fixed words of a message per language, and dates and money as that language writes them."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from importlib import resources

import fsspec
import yaml
from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import ConfigurationError


class Words(BaseModel):
    """One file ``texts/<language>.yaml``; every entry is needed, so that nothing falls back in mid-sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_min_length=1)

    language: str = Field(pattern=r"^[a-z]{2}$")
    date_pattern: str = Field(pattern="y")
    greeting_named: str = Field(pattern=r"\{name\}")
    greeting: str
    chosen: str
    replenish: str
    cross_sell: str
    up_sell: str
    popular: str
    in_stock: str
    few_left: str
    see_product: str
    percent: str = Field(pattern=r"\{value\}")
    amount: str = Field(pattern=r"\{value\}")
    free_delivery: str
    double_points: str
    with_minimum: str = Field(pattern=r"\{offer\}.*\{minimum\}|\{minimum\}.*\{offer\}")
    your_code: str
    no_code: str
    valid_until: str = Field(pattern=r"\{until\}")
    sign_off: str
    why_consent: str
    why_customer: str
    questions: str = Field(pattern=r"\{email\}")
    unsubscribe: str
    preferences: str

    @property
    def direction(self) -> str:
        """ltr or rtl."""
        return "rtl" if Locale.parse(self.language).text_direction == "rtl" else "ltr"

    def day(self, day: date) -> str:
        """A date as people write it, without the weekday; it is never broken over two lines."""
        return format_date(day, self.date_pattern, locale=self.language).replace(" ", "\u00a0")

    def money(self, amount: Decimal, currency: str) -> str:
        """An amount with its currency; whole amounts without cents."""
        return _money(amount, currency, self.language)

    def number(self, value: Decimal) -> str:
        """A plain number."""
        return format_decimal(value, locale=self.language)


@lru_cache(maxsize=65_536)  # prices repeat over customers
def _money(amount: Decimal, currency: str, language: str) -> str:
    pattern = Locale.parse(language).currency_formats["standard"].pattern
    whole = amount == amount.to_integral_value()
    written = format_currency(
        amount,
        currency,
        pattern.replace(".00", "") if whole else pattern,
        locale=language,
        currency_digits=not whole,
    )
    return written.replace("\u00a0", " ")


def read_words(languages: frozenset[str], folder: str | None = None) -> Mapping[str, Words]:
    """Words of each language, from ``folder`` where it has the file; raises ConfigurationError naming what lacks."""
    return {language: _read(language, folder) for language in sorted(languages)}


@cache
def _read(language: str, folder: str | None) -> Words:
    text = _text(language, folder)
    try:
        Locale.parse(language)
        return Words(language=language, **yaml.safe_load(text))
    except UnknownLocaleError as error:
        message = f"There is no language {language!r}; use an ISO 639-1 code such as en or de."
        raise ConfigurationError(message) from error
    except (ValidationError, yaml.YAMLError, TypeError) as error:
        fields = [".".join(map(str, e["loc"])) for e in error.errors()] if isinstance(error, ValidationError) else []
        message = (
            f"texts/{language}.yaml does not fit: {', '.join(fields) or 'not a YAML mapping'}. "
            "Compare it with the packaged en.yaml; every entry is needed."
        )
        raise ConfigurationError(message) from error


def _text(language: str, folder: str | None) -> str:
    if folder:
        address = f"{folder.rstrip('/')}/{language}.yaml"
        try:
            with fsspec.open(address, "rt", encoding="utf-8") as file:
                return str(file.read())
        except FileNotFoundError:
            pass  # the packaged languages need no copy in the folder
    packaged = resources.files("tasks.campaigns").joinpath(f"texts/{language}.yaml")
    if not packaged.is_file():
        message = (
            f"There are no fixed words in {language!r}: add {language}.yaml to campaigns.texts "
            "(copy the packaged en.yaml and translate), or remove that language from the playbook."
        )
        raise ConfigurationError(message)
    return packaged.read_text(encoding="utf-8")
