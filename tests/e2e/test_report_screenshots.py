"""The insight report in a browser: nothing sticks out on a phone, and every picture is drawn."""

import json
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from flows.segment_customers import segment_customers
from tests.flows.small_shop import write_shop

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed on this machine"),
]

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
PROBE = """<script>
document.title = JSON.stringify({
  wide: document.documentElement.scrollWidth, view: window.innerWidth,
  chapters: document.querySelectorAll('section').length,
  pictures: [...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().height > 40).length,
  blank: [...document.querySelectorAll('p, td, h2')].filter(e => /\\b(None|nan)\\b/.test(e.textContent)).length,
});
</script>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory, prefect_server) -> Path:
    config = write_shop(tmp_path_factory.mktemp("report") / "shop")
    segment_customers(str(config), date(2025, 7, 1), "plan")
    return Path(segment_customers(str(config), date(2025, 8, 1), "plan").report)


def look(report: Path, folder: Path, width: int) -> dict[str, int]:
    """What a browser of this width makes of the page."""
    page = folder / f"{width}.html"
    text = report.read_text(encoding="utf-8").replace(
        "default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'"
    )
    page.write_text(text.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    command = ["chromium", *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--dump-dom"]
    found = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    title = found.split("<title>")[1].split("</title>")[0]
    return json.loads(title.replace("&quot;", '"'))


@pytest.mark.parametrize("width", [500, 1280])
def test_every_picture_is_drawn_and_nothing_sticks_out(report, tmp_path, width):
    seen = look(report, tmp_path, width)
    assert seen["wide"] <= seen["view"]
    assert seen["chapters"] >= seen["pictures"] >= 5
    assert seen["blank"] == 0
