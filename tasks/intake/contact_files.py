"""A file of contacts that nobody has configured: its columns are recognised by their names."""

import re
from fnmatch import fnmatch

from tasks.config import Checks, Config, Dataset, Source
from tasks.errors import ConfigurationError
from tasks.intake.columns import DATASETS, PEOPLE_KEYS
from tasks.intake.files import list_files
from tasks.intake.mapping import identifier
from tasks.intake.reading import UnreadableFileError, open_file

_PEOPLE = {Dataset.CUSTOMERS, Dataset.CONTACTS, Dataset.CONSENT}
_ALSO = {
    "customer_id": ("id", "customer", "customerid", "contact_id", "contactid"),
    "loyalty_id": ("loyalty", "card", "card_number", "loyalty_number", "membership_number"),
    "email": ("e_mail", "mail", "email_address", "e_mail_address"),
    "phone": ("telephone", "mobile", "phone_number", "mobile_number", "tel"),
    "first_name": ("firstname", "given_name", "forename"),
    "last_name": ("lastname", "surname", "family_name"),
    "postcode": ("zip", "postal_code", "zip_code", "zipcode"),
    "country": ("country_code",),
    "language": ("locale", "lang"),
    "birth_year": ("year_of_birth",),
    "created_at": ("created", "created_on", "createdate"),
    "updated_at": ("updated", "modified_at", "last_modified", "lastmodifieddate"),
    "consent_email": ("email_consent", "opt_in", "email_opt_in", "newsletter", "marketing_consent"),
    "consent_sms": ("sms_consent", "sms_opt_in"),
}


def contact_source(config: Config, uri: str) -> Source:
    """The configured source that the file belongs to, else a new one with the columns whose names are recognised.

    ConfigurationError: there is no such file, or nothing in it names a person.
    """
    for source in config.sources:
        if source.dataset in _PEOPLE and source.files and fnmatch(uri, source.files):
            return source
    drafted = Source(
        name=f"contacts-{_plain(uri.rsplit('/', 1)[-1].split('.', 1)[0])}",
        dataset=Dataset.CONTACTS,
        files=uri,
        checks=Checks(max_shrink=1.0, on_breach="tell"),
    )
    found = list_files(drafted)
    if not found:
        raise ConfigurationError(f"{uri}: there is no such file.")
    try:
        with open_file(found[0], drafted, config.memory_limit) as opened:
            columns = recognise([name for name in opened.schema.names if not name.startswith("#")])
    except UnreadableFileError as error:
        raise ConfigurationError(f"{uri}: {error}") from None
    if not set(columns) & set(PEOPLE_KEYS):
        raise ConfigurationError(
            f"{uri}: no column names a person. Call one of them {', '.join(PEOPLE_KEYS)}, or configure a source."
        )
    # numbers in a list from outside are not the numbers of our own house
    return drafted.model_copy(update={"columns": columns, "id_space": drafted.name})


def recognise(theirs: list[str]) -> dict[str, str]:
    """Our columns by the names of theirs, whatever their case and separators; the first that fits counts."""
    plain: dict[str, str] = {}
    for name in theirs:
        plain.setdefault(_plain(name), identifier(name))
    found = {}
    for column in DATASETS[Dataset.CONTACTS]:
        fits = [plain[name] for name in (column.name, *_ALSO.get(column.name, ())) if name in plain]
        if fits:
            found[column.name] = fits[0]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
