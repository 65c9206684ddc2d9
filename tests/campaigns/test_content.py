"""Messages: complete, escaped, unsubscribable, in the customer's language, whatever the data looks like."""

import html as html_module
import re
import unicodedata
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.campaigns import clean_text
from tasks.campaigns.content import LONGEST_HTML, compose, merge
from tasks.campaigns.personal import Person, Product, personal_code, writer
from tasks.campaigns.playbook import Play
from tasks.campaigns.playbook_file import load
from tasks.campaigns.settings import Brand, CampaignSettings, contrast
from tasks.campaigns.words import read_words
from tasks.errors import ConfigurationError
from tests.campaigns.town import SHOP

AS_OF = date(2017, 11, 15)
BOOK = load(None)
WORDS = read_words(frozenset({"en", "de", "fr"}))
KEY = b"k" * 16
SENDER = {"Sender_Name": "Harbour", "Sender_Address": "1 Quay", "Sender_City": "Bristol", "Sender_State": "Avon",
          "Sender_Zip": "BS1", "unsubscribe": "https://u", "unsubscribe_preferences": "https://p"}  # fmt: skip
PICTURES = SHOP.model_copy(update={"placeholder_image_url": "https://shop.example.com/blank.png"})
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Reader(HTMLParser):
    """Checks that elements are closed in order; collects texts, links and elements."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[str] = []
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name == "href"]
        self.pictures += [value for name, value in attrs if name == "src"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title") and data.strip():
            self.texts.append(data.strip())


def rendered(play: Play, person: Person, language: str = "en", brand: Brand = SHOP) -> tuple[str, str]:
    """HTML and plain text as the customer gets them."""
    words, shown = WORDS[language], len(person.products)
    message = compose(play, AS_OF, CampaignSettings(brand=brand), words, shown=shown, currency="GBP")
    write = writer(play, play.campaign_id(AS_OF), shown=shown, words=words, brand=brand, currency="GBP", key=KEY)
    own = write(person)
    assert sorted(f"rs_{name}" for name in own) == sorted(message.fields)
    filled = {**{f"rs_{name}": text for name, text in own.items()}, **SENDER}
    return merge(message.html, filled), merge(message.plain, filled, html=False)


EMPTY = (Product("1", "Milk", "popular"), Product("2", "Bread", "replenish", "", None, None, "", ""))


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("play", BOOK.plays, ids=lambda play: play.id)
def test_every_play_is_complete_without_any_data_about_the_customer(play, language):
    for products in ((), EMPTY):
        html, plain = rendered(play, Person("c1", "a@example.com", None, products), language)
        reader = Reader(html)
        text = " ".join(reader.texts)
        for word in ("None", "null", "undefined", "nan", "{{", "}}", "{offer}", "{until}", "{brand}"):
            assert word not in text
            assert word not in plain
        assert WORDS[language].greeting in text
        assert WORDS[language].greeting in plain
        assert not re.search(r"<(p|div|h1|h2|a)\b[^>]*>\s*</\1>", html)  # nothing visible is blank
        assert all(link.startswith(("https://", "mailto:")) for link in reader.links)
        assert {"https://u", "https://p"} <= set(reader.links)
        assert "https://u" in plain
        assert "1 Quay, Bristol, Avon BS1" in text
        assert len(html.encode()) < LONGEST_HTML / 4
        assert html.startswith("<!DOCTYPE html>")


HOSTILE = st.one_of(
    st.text(max_size=320),
    st.sampled_from(
        [
            "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{email}}", "{{{unsubscribe}}}",
            "{% raw %}", "&lt;b&gt;", "a&amp;b",
            "</td></tr></table>", "Robert'); DROP TABLE", "مريم", "שרה כהן", "👩‍👩‍👧‍👦", "\u202eevil",
            "x" * 300, "None", "\x00\x07", "javascript:alert(1)", "=HYPERLINK(1)", "www.evil.example",
        ]
    ),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, st.sampled_from(BOOK.plays))
def test_nothing_that_customers_or_catalogues_hold_changes_the_message_around_it(name, title, because, url, play):
    calm = Reader(
        rendered(play, Person("c", "a@example.com", "Ana", (Product("1", "Milk", "popular"),)), brand=PICTURES)[0]
    )
    if not clean_text.product_name(title):
        title = "Milk"
    product = Product("1", title, "replenish", because, Decimal(1), 2.0, url, url)
    html, plain = rendered(play, Person("c", "a@example.com", name, (product,)), brand=PICTURES)
    wild = Reader(html)
    assert wild.elements == calm.elements
    assert wild.attributes == calm.attributes
    assert all(link.startswith("https://") for link in (*wild.links, *wild.pictures))
    assert "{{" not in html + plain
    assert all(text.strip() for text in wild.texts)


@given(HOSTILE, st.integers(8, 120))
def test_clean_text_is_one_safe_line_and_cleaning_it_again_changes_nothing(text, longest):
    cleaned = clean_text.clean(text, longest)
    assert len(cleaned) <= longest + 2  # two isolation marks around right-to-left text
    assert not set(cleaned) & set("<>\"'`{}\n\r\t")
    assert html_module.unescape(cleaned) == cleaned  # right whether the platform escapes or not
    assert not re.search(r"&[\w#]", cleaned)
    assert not any(unicodedata.category(c) == "Cc" for c in cleaned)
    assert not set(cleaned) & set("\u202a\u202b\u202d\u202e\u2066\u2067")
    assert clean_text.clean(cleaned, longest + 2) == cleaned


@pytest.mark.parametrize(
    ("typed", "greeted"),
    [
        ("Ana", "Ana"), ("ANA", "Ana"), ("jean-luc", "Jean-Luc"), ("McDonald", "McDonald"), ("O'Neil", "O’Neil"),
        ("Zoë", "Zoë"), ("J. Robert", "J. Robert"), ("مريم", "\u2068مريم\u2069"), ("李", "李"),
        (None, ""), ("", ""), ("  ", ""), ("N/A", ""), ("null", ""), ("Test", ""), ("😀", ""), ("12345", ""),
        ("ana@example.com", ""), ("www.evil.example", ""), ("Win $1000", ""), ("http://evil", ""), ("x" * 60, ""),
        ("evil.example", ""),
    ],
)  # fmt: skip
def test_only_what_looks_like_a_name_is_greeted(typed, greeted):
    assert clean_text.person_name(typed) == greeted


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://shop.example.com/p?id=1&x=2", "https://shop.example.com/p?id=1&x=2"),
        ('https://shop.example.com/"><script>', "https://shop.example.com/%22%3E%3Cscript%3E"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("https://shop.example.com/{{email}}", "https://shop.example.com/%7B%7Bemail%7D%7D"),
        ("http://shop.example.com", ""), ("javascript:alert(1)", ""), ("//evil.example", ""), ("https://", ""),
        ("https://user:pw@evil.example/", ""), ("https://[bad", ""), (None, ""),
    ],
)  # fmt: skip
def test_only_encrypted_links_are_kept_and_none_can_leave_its_attribute(address, kept):
    assert clean_text.link(address) == kept


def test_a_title_of_300_characters_is_cut_between_words():
    title = "Organic stone-ground rye flour from the mill by the river " * 6
    cut = clean_text.product_name(title)
    assert len(cut) <= 80
    assert cut.endswith("…")
    assert title.startswith(cut.removesuffix("…") + " ")


def test_personal_codes_are_stable_differ_and_can_be_read_aloud():
    codes = {personal_code(KEY, "VIP", "vip", f"c{number}") for number in range(5_000)}
    assert len(codes) == 5_000
    assert all(re.fullmatch(r"VIP[0-9A-HJKMNP-TV-Z]{8}", code) for code in codes)
    assert personal_code(KEY, "VIP", "vip", "c1") != personal_code(b"o" * 16, "VIP", "vip", "c1")


def test_subjects_take_turns_from_day_to_day_and_the_others_are_shown():
    play = BOOK.play("welcome")
    subjects = [compose(play, date(2017, 11, day), CampaignSettings(brand=SHOP), WORDS["en"], shown=0, currency="GBP")
                for day in (1, 2, 3)]  # fmt: skip
    assert len({message.subject for message in subjects}) == 3
    assert all({m.subject, *m.other_subjects} == {s.subject for s in subjects} for m in subjects)


def test_an_own_language_is_read_from_the_retailers_folder_and_written_from_right_to_left(tmp_path):
    english = WORDS["en"].model_dump(exclude={"language"})
    (tmp_path / "ar.yaml").write_text("\n".join(f"{k}: {v!r}" for k, v in {**english, "greeting": "مرحبا،"}.items()))
    arabic = read_words(frozenset({"ar"}), str(tmp_path))["ar"]
    play = BOOK.play("welcome")
    play = play.model_copy(update={"texts": {"ar": play.texts["en"]}})
    message = compose(play, AS_OF, CampaignSettings(brand=SHOP), arabic, shown=1, currency="GBP")
    assert '<html lang="ar" dir="rtl"' in message.html
    assert 'align="right"' in message.html


def test_a_language_without_words_says_which_file_to_add():
    with pytest.raises(ConfigurationError, match=r"add nl\.yaml to campaigns\.texts"):
        read_words(frozenset({"nl"}))


def test_words_that_lack_an_entry_are_refused_by_name(tmp_path):
    (tmp_path / "it.yaml").write_text("greeting: Ciao,\n")
    with pytest.raises(ConfigurationError, match=r"texts/it\.yaml does not fit: .*unsubscribe"):
        read_words(frozenset({"it"}), str(tmp_path))


def test_every_message_carries_dark_mode_preheader_and_both_ways_out():
    for play in BOOK.plays:
        message = compose(play, AS_OF, CampaignSettings(brand=SHOP), WORDS["en"], shown=3, currency="GBP")
        assert "prefers-color-scheme:dark" in message.html
        assert message.preheader in html_module.unescape(message.html)
        for tag in ("{{{unsubscribe}}}", "{{{unsubscribe_preferences}}}", "{{Sender_Name}}", "{{Sender_Address}}"):
            assert tag in message.html
            assert tag in message.plain
        assert f"utm_campaign={play.campaign_id(AS_OF)}" in message.html


def test_customers_who_never_said_yes_are_not_told_they_did():
    settings_ = CampaignSettings(brand=SHOP, consent="not_denied")
    html = compose(BOOK.play("welcome"), AS_OF, settings_, WORDS["en"], shown=0, currency="GBP").html
    assert "because you are a customer" in html
    assert "agreed" not in html


@pytest.mark.parametrize(
    "brand",
    [
        {"name": "{{email}}", "website": "https://x.example"}, {"name": "X", "website": "http://x.example"},
        {"name": "X", "website": "https://x.example", "primary": "#ffff00"},  # white on yellow cannot be read
        {"name": "X", "website": "https://x.example", "primary": "red;background:url(x)"},
        {"name": "X", "website": "https://x.example", "logo_url": "javascript:alert(1)"},
    ],
)  # fmt: skip
def test_a_brand_that_cannot_be_shown_safely_or_read_is_refused(brand):
    with pytest.raises(ValueError, match="1 validation error"):
        Brand(**brand)


def test_the_contrast_is_that_of_the_published_formula():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("because", "shouting", "told"),
    [
        (
            "You buy FRUIT/BREAKFAST BREAD about every 11 days",
            True,
            "You buy fruit/breakfast bread about every 11 days",
        ),
        ("Goes with SW GDS:DONUTS, which I know", True, "Goes with sw gds:donuts, which I know"),
        ("Fits your USB charger", False, "Fits your USB charger"),
        (None, True, ""),
    ],
)
def test_a_reason_does_not_shout_where_the_catalogue_does(because, shouting, told):
    assert clean_text.sentence(because, 90, shouting=shouting) == told
