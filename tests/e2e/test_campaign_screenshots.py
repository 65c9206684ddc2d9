"""Every template in a real browser, at the width of a phone and of a desktop, light and dark.

The pictures are kept in the folder that CAMPAIGN_SCREENSHOTS names, to be looked at; the test itself measures what a
program can: nothing sticks out of the screen, nothing is blank, dark is dark, text can be read on its background, a
button is seen and can be met with a thumb.
"""

import base64
import html
import io
import json
import os
import shutil
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from tasks.campaigns.content import compose, merge
from tasks.campaigns.personal import Person, Product, writer
from tasks.campaigns.playbook import TEMPLATES, Play
from tasks.campaigns.playbook_file import load
from tasks.campaigns.settings import Brand, CampaignSettings
from tasks.campaigns.words import read_words

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]

WIDTHS = (375, 800)
HEIGHT = 1700
AS_OF = date(2017, 11, 15)
SCHEMES = {"dark": 0, "light": 1}  # Blink's own numbers of the preferred colour scheme
SHOP = Brand(name="Harbour & Sons", website="https://shop.example.com", support_email="help@example.com")
USUAL = (
    Product("1", "FLUID MILK WHITE ONLY", "replenish", "You usually buy it every 6 days", Decimal("2.49"), 40),
    Product("2", "Sourdough loaf with rye and sunflower seeds", "cross_sell", "", Decimal("3.9"), 3),
    Product("3", "Coffee beans", "popular"),
)
HOSTILE = (
    Product("1", "<script>alert(1)</script>" * 12, "replenish", "{{email}} </td></table>", Decimal("99999.99"), 1),
    Product("2", "W" * 300, "cross_sell", "ممتاز", Decimal(1), 0.5, 'https://x.example/"><img src=x onerror=alert(1)>'),
    Product("3", "قهوة عربية 500g 🎁🎁🎁", "popular", url="javascript:alert(1)"),
)
PICTURED = SHOP.model_copy(update={"logo_url": "https://shop.example.com/logo.png",
                                   "placeholder_image_url": "https://shop.example.com/blank.png"})  # fmt: skip
PEOPLE = {
    "usual": Person("c1", "a@example.com", "Ana", USUAL),
    "hostile": Person("c2", "b@example.com", "مريم", HOSTILE),
    "pictured": Person("c1", "a@example.com", None, USUAL),  # the first picture arrives, the others and the logo do not
}
CASES = [*((template, who) for template in TEMPLATES for who in ("usual", "hostile")), ("products", "pictured")]


def picture() -> str:
    """A photograph of a product, so to say."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((104, 104)).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def message(play: Play, language: str, person: Person, brand: Brand = SHOP) -> str:
    settings = CampaignSettings(brand=brand)
    words = read_words(frozenset({language}))[language]
    made = compose(play, AS_OF, settings, words, shown=len(person.products), currency="GBP")
    write = writer(play, play.campaign_id(AS_OF), shown=len(person.products), words=words, brand=brand,
                   currency="GBP", key=b"k" * 16)  # fmt: skip
    own = write(person)
    own |= {"p1_image": picture()} if "p1_image" in own else {}
    sender = {"Sender_Name": "Harbour & Sons", "Sender_Address": "1 Quay", "Sender_City": "Bristol",
              "Sender_State": "Avon", "Sender_Zip": "BS1 4RW",
              "unsubscribe": "#", "unsubscribe_preferences": "#"}  # fmt: skip
    return merge(made.html, {**{f"rs_{name}": text for name, text in own.items()}, **sender})


MEASURE = """
function luminance(c){
  const v=c.match(/[\\d.]+/g).slice(0,3).map(x=>{x/=255;return x<=.04045?x/12.92:((x+.055)/1.055)**2.4});
  return .2126*v[0]+.7152*v[1]+.0722*v[2]}
function back(e){
  for(;e;e=e.parentElement){
    const b=getComputedStyle(e).backgroundColor;
    if(b!=='rgba(0, 0, 0, 0)'&&b!=='transparent')return b}
  return 'rgb(255,255,255)'}
function measure(f){
  const d=f.contentDocument,poor=[],walk=d.createTreeWalker(d.body,4);let n,texts=0;
  while(n=walk.nextNode()){
    const e=n.parentElement;
    if(!n.textContent.trim()||!e.offsetWidth||e.offsetHeight<8)continue;
    texts++;
    const a=luminance(f.contentWindow.getComputedStyle(e).color),b=luminance(back(e));
    const ratio=(Math.max(a,b)+.05)/(Math.min(a,b)+.05);
    if(ratio<4.5)poor.push(n.textContent.trim().slice(0,40)+' '+ratio.toFixed(1))}
  const buttons=[...d.querySelectorAll('td.button')].map(e=>{
    const a=luminance(back(e)),b=luminance(back(e.parentElement));
    return {height:e.offsetHeight,contrast:(Math.max(a,b)+.05)/(Math.min(a,b)+.05)}});
  return {buttons,width:d.documentElement.scrollWidth,height:d.documentElement.scrollHeight,
    poor,texts,scripts:d.scripts.length}}
onload=()=>{document.title=JSON.stringify([...document.querySelectorAll('iframe')].map(measure))}
"""


def browse(folder: Path, page: Path, scheme: str, *extra: str) -> bytes:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}",
             f"--window-size={sum(WIDTHS) + 16},{HEIGHT}",
             f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"]  # fmt: skip
    done = subprocess.run([str(CHROMIUM), *flags, *extra, page.as_uri()], capture_output=True, timeout=120, check=True)
    shutil.rmtree(folder / "profile", ignore_errors=True)
    return done.stdout


def look(folder: Path, name: str, text: str, scheme: str) -> tuple[list[dict], Image.Image]:
    """Measures of the phone and the desktop view, and one picture of both."""
    frames = "".join(
        f'<iframe srcdoc="{html.escape(text)}" style="width:{width}px;height:{HEIGHT}px;border:0"></iframe>'
        for width in WIDTHS
    )
    page = folder / f"{name}-{scheme}.html"
    page.write_text(
        f"<!DOCTYPE html><meta charset=utf-8><body style='margin:0;display:flex;gap:16px;background:#888'>{frames}"
        f"<script>{MEASURE}</script></body>"
    )
    dom = browse(folder, page, scheme, "--dump-dom", "--virtual-time-budget=3000").decode()
    title = html.unescape(dom.split("<title>")[1].split("</title>")[0])
    picture = folder / f"{name}-{scheme}.png"
    browse(folder, page, scheme, f"--screenshot={picture}")
    return json.loads(title), Image.open(io.BytesIO(picture.read_bytes())).convert("L")


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for the pictures."""
    folder = Path(os.environ.get("CAMPAIGN_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def first_play(template: str) -> Play:
    return next(play for play in load(None).plays if play.template == template)


@pytest.mark.parametrize(("template", "who"), CASES)
def test_a_template_fits_phone_and_desktop_and_can_be_read_light_and_dark(template, who, album):
    play = first_play(template)
    language = "de" if who == "hostile" else "en"
    text = message(play, language, PEOPLE[who], PICTURED if who == "pictured" else SHOP)
    brightness = {}
    for scheme in SCHEMES:
        measures, picture = look(album, f"{template}-{who}", text, scheme)
        for width, measured in zip(WIDTHS, measures, strict=True):
            assert measured["width"] <= width, f"{template} sticks out at {width}"
            assert 500 < measured["height"] <= HEIGHT
            assert measured["texts"] > 15
            assert measured["poor"] == []
            assert measured["scripts"] == 0
            assert [one for one in measured["buttons"] if one["height"] < 44 or one["contrast"] < 3] == []
            assert measured["buttons"]
        sheet = ImageStat.Stat(picture.crop((40, 20, WIDTHS[0] - 40, 900)))
        assert sheet.stddev[0] > 15, "nothing is drawn"
        brightness[scheme] = ImageStat.Stat(picture.crop((0, 0, WIDTHS[0], 900))).median[0]
    assert brightness["dark"] < 60
    assert brightness["light"] > 200
