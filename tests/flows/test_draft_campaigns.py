"""The flow of campaign drafts on a real server: plan by default, apply to an account, artifacts without people."""

import asyncio
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from tasks.lake import Lake
from tests.campaigns.fake_sendgrid import API_KEY, FakeSendGrid, serve
from tests.campaigns.town import AS_OF, Resident, Town

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]

CONFIG = """
lake: {lake}
currency: GBP
campaigns:
  brand: {{name: Harbour, website: "https://shop.example.com"}}
  holdout_key_secret: test-holdout-key
  sendgrid: {{secret: test-sendgrid-key, sender_id: 1, suppression_group_id: 103, base_url: "{url}"}}
"""


async def artifacts() -> str:
    async with get_client() as client:
        return " ".join(str(artifact.data) for artifact in await client.read_artifacts())


def written(town: Town, fake: FakeSendGrid, folder: Path) -> str:
    path = folder / "segmentation.yaml"
    path.write_text(CONFIG.format(lake=town.lake.root, url=fake.url))
    return str(path)


def test_the_flow_plans_by_default_and_drafts_when_told_without_naming_anybody(lake: Lake, tmp_path, monkeypatch):
    from flows.draft_campaigns import draft_campaigns

    monkeypatch.setenv("TEST_SENDGRID_KEY", API_KEY)
    monkeypatch.setenv("TEST_HOLDOUT_KEY", "a key that is long enough")
    with serve() as fake:
        fake.suppressions["bounces"] = ["bob@example.com"]
        town = Town(lake, tuple(Resident(name, "new") for name in ("Ana", "Bob", "Cleo"))).settle()
        config = written(town, fake, tmp_path)
        planned = draft_campaigns(config=config, as_of=AS_OF)
        assert (planned.applied, fake.written(), fake.contacts) == (False, [], {})
        assert planned.left_out == {"opted out, bounced or complained on a sending platform": 1}

        applied = draft_campaigns(config=config, as_of=AS_OF, mode="apply", approved_by="Mira")
        assert sorted(fake.contacts) == ["ana@example.com", "cleo@example.com"]
        assert [(line.status, line.approved_by) for line in applied.drafts] == [("draft", "Mira")]
        told = asyncio.run(artifacts())
        assert "Welcome, 2017-11-15, en" in told
        assert "index.html" in told
        assert not [word for word in ("ana@", "cleo@", "Ana", "Cleo", API_KEY) if word in told]
