"""The one configuration model: everything a retailer decides, in one place."""

import hashlib
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tasks.config.alerts import AlarmSettings
from tasks.config.campaigns import CampaignSettings
from tasks.config.destinations import DestinationSettings
from tasks.config.events import EventSettings
from tasks.config.recommendations import RecommendationSettings
from tasks.config.sources import Source
from tasks.config.stages import BrakeSettings, ClusterSettings, FeatureSettings, IdentitySettings, ReportSettings

_CURRENCY_LETTERS = 3


class Config(BaseSettings):
    """Configuration of one retailer."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="SEGMENTATION_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    lake: str = Field("./lake", description="Directory or s3://bucket/prefix that holds all tables")
    timezone: str = Field("UTC", description="The retailer's time zone: days begin and end there")
    currency: str = Field("USD", description="Currency of all amounts after conversion")
    exchange_rates: dict[str, float] = Field(
        default_factory=dict, description="Value of one unit of a foreign currency in the retailer's; none is guessed"
    )
    country: str = Field("", description="Country of telephone numbers without a prefix")
    sources: tuple[Source, ...] = Field((), description="Where data comes from")
    identity: IdentitySettings = Field(default_factory=IdentitySettings, description="One customer out of many records")
    features: FeatureSettings = Field(default_factory=FeatureSettings, description="Measuring and predicting")
    segments: str = Field("", description="Rule file; the rules that come with the system when left out")
    clusters: ClusterSettings = Field(default_factory=ClusterSettings, description="Clustering")
    recommendations: RecommendationSettings = Field(
        default_factory=RecommendationSettings, description="Products to offer"
    )
    playbook: str = Field("", description="Playbook of campaigns; the one that comes with the system when left out")
    campaigns: CampaignSettings = Field(default_factory=CampaignSettings, description="Brand, drafts and hold-outs")
    destinations: tuple[DestinationSettings, ...] = Field((), description="Where segments are pushed")
    brake: BrakeSettings = Field(default_factory=BrakeSettings, description="What stops a push")
    alarms: AlarmSettings = Field(default_factory=AlarmSettings, description="What a push may get wrong unnoticed")
    report: ReportSettings = Field(default_factory=ReportSettings, description="Key figures and insight report")
    events: EventSettings = Field(default_factory=EventSettings, description="Events between the daily runs")
    buckets: int = Field(16, ge=1, le=65_536, description="Parts that orders are split into by customer")
    memory_limit: str = Field("4GB", pattern=r"^\d+(MB|GB)$", description="Memory for queries; beyond it disk is used")
    retention_days: int = Field(730, ge=2, description="Days that daily tables are kept")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic passes it by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return env_settings, init_settings

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{value!r} is no time zone. Write it like Europe/London.") from None
        return value

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        if len(value) != _CURRENCY_LETTERS or not value.isupper():
            raise ValueError(f"{value!r} is no currency code. Write it like GBP.")
        return value

    @model_validator(mode="after")
    def _distinct_names(self) -> "Config":
        for kind, names in (
            ("sources", [source.name for source in self.sources]),
            ("destinations", [destination.name for destination in self.destinations]),
        ):
            doubles = sorted({name for name in names if names.count(name) > 1})
            if doubles:
                raise ValueError(f"{kind}: the name {', '.join(doubles)} is used twice. Give each its own `name`.")
        return self

    def anchored(self, folder: str) -> "Config":
        """The same configuration with relative paths starting at ``folder``."""
        places: dict[str, Any] = {
            name: _anchor(folder, value) for name in ("lake", "segments", "playbook") if (value := getattr(self, name))
        }
        places["sources"] = tuple(
            source.model_copy(update={"files": _anchor(folder, source.files)}) if source.files else source
            for source in self.sources
        )
        places["destinations"] = tuple(
            one.model_copy(update={"settings": {**one.settings, "folder": _anchor(folder, one.settings["folder"])}})
            if "folder" in one.settings
            else one
            for one in self.destinations
        )
        if self.events.queue:
            places["events"] = self.events.model_copy(update={"queue": _anchor(folder, self.events.queue)})
        return self.model_copy(update=places)

    def digest(self, *parts: str) -> str:
        """Digest of the named parts, or of everything: a stage runs again when its parts change."""
        chosen = self.model_dump_json(include=set(parts) or None)
        return hashlib.sha256(chosen.encode()).hexdigest()[:16]


def _anchor(folder: str, path: str) -> str:
    if "://" in path or path.startswith("/"):
        return path
    if path in {".", "./"}:
        return folder.rstrip("/") or "/"
    return path if folder in {"", "."} else f"{folder.rstrip('/')}/{path.removeprefix('./')}"
