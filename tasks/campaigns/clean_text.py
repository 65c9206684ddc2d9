"""Text from customers and catalogues made fit for a message: safe escaped or not, never blank, never spoofing."""

import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

# A sending platform may or may not escape what it merges, and tells only by example. These characters mean something
# in HTML or in merge tags; their typographic twins mean nothing, so the text is right either way.
_TWINS = str.maketrans({"<": "‹", ">": "›", '"': "”", "'": "’", "`": "’", "{": "(", "}": ")"})
_ENTITY = re.compile(r"&(?=[\w#])")
_JOINERS = "\u200c\u200d"  # needed in Persian words and in emoji; every other invisible character goes
_ISOLATE, _POP = "\u2068", "\u2069"
_NO_NAMES = frozenset(
    {"none", "null", "nan", "n/a", "na", "unknown", "test", "customer", "guest", "anonymous", "undefined", "xxx"}
)
_NOT_IN_A_NAME = re.compile(r"[\d@/\\:;%$€£#*=+_|~^\[\]‹›()]|\.\w|www", re.IGNORECASE)
_SHOUTED = re.compile(r"\b[A-Z][A-Z]+(?:[ /&:.-]+[A-Z]+)*\b")
_LONGEST_NAME = 40
_REMEMBERED = 65_536  # names and products repeat over customers


@lru_cache(maxsize=_REMEMBERED)
def clean(text: str | None, longest: int) -> str:
    """One line without control characters, markup or merge tags, at most ``longest`` characters; blank if nothing."""
    joined = unicodedata.normalize("NFC", text or "")
    visible = "".join(c if c in _JOINERS or not unicodedata.category(c).startswith("C") else " " for c in joined)
    line = " ".join(visible.split()).translate(_TWINS)
    if not any(unicodedata.category(c)[0] in "LNSP" for c in line):
        return ""
    return isolate(_shorten(_ENTITY.sub("＆", line), longest))


def _shorten(line: str, longest: int) -> str:
    if len(line) <= longest:
        return line
    head = line[: longest - 1]
    space = head.rfind(" ")
    if space > longest // 2:
        head = head[:space]
    while head and (head[-1] in _JOINERS or unicodedata.combining(head[-1])):
        head = head[:-1]
    return head.rstrip(" ,;:-–") + "…"


def isolate(line: str) -> str:
    """Right-to-left text between isolation marks, so that the sentence around it keeps its order (UAX #9)."""
    if any(unicodedata.bidirectional(c) in ("R", "AL") for c in line):
        return f"{_ISOLATE}{line}{_POP}"
    return line


@lru_cache(maxsize=_REMEMBERED)
def person_name(first_name: str | None) -> str:
    """A given name fit for a greeting, or blank: links, numbers and placeholders typed into forms are no names."""
    name = clean(first_name, _LONGEST_NAME)
    bare = name.strip(_ISOLATE + _POP)
    has_letter = any(unicodedata.category(c).startswith("L") for c in bare)
    if not has_letter or bare.lower() in _NO_NAMES or "…" in bare or _NOT_IN_A_NAME.search(bare):
        return ""
    if "http" in bare.lower():
        return ""
    return name.title() if bare.isascii() and (bare.isupper() or bare.islower()) else name


@lru_cache(maxsize=_REMEMBERED)
def product_name(name: str | None, longest: int = 80) -> str:
    """A product's name in sentence case where the catalogue shouts; blank where there is none."""
    line = clean(name, longest)
    return line.capitalize() if line.isupper() else line


@lru_cache(maxsize=_REMEMBERED)
def sentence(text: str | None, longest: int, *, shouting: bool) -> str:
    """A reason in words; where the catalogue is ``shouting``, its names in it are written small."""
    line = clean(text, longest)
    return _SHOUTED.sub(lambda found: found[0].lower(), line) if shouting else line


@lru_cache(maxsize=_REMEMBERED)
def link(address: str | None) -> str:
    """A web link that cannot end its attribute or carry a script; blank unless it is https."""
    try:
        parts = urlsplit((address or "").strip())
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port else ""
    except (ValueError, UnicodeError):
        return ""
    if parts.scheme != "https" or not host or parts.username:
        return ""
    path = quote(parts.path, safe="/%:@!$()*,;~-._+")
    query = quote(parts.query, safe="%=&;:@!$()*,~-._+/?")
    return urlunsplit(("https", host + port, path, query, quote(parts.fragment, safe="%-._~")))
