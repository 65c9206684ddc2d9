"""The configuration: one YAML read into one model."""

from tasks.config.alerts import AlarmSettings
from tasks.config.destinations import DestinationSettings
from tasks.config.events import EventSettings, WebhookSettings
from tasks.config.load import load_config
from tasks.config.model import Config
from tasks.config.sources import Checks, Dataset, Source
from tasks.config.stages import BrakeSettings, ClusterSettings, FeatureSettings, IdentitySettings, ReportSettings

__all__ = [
    "AlarmSettings",
    "BrakeSettings",
    "Checks",
    "ClusterSettings",
    "Config",
    "Dataset",
    "DestinationSettings",
    "EventSettings",
    "FeatureSettings",
    "IdentitySettings",
    "ReportSettings",
    "Source",
    "WebhookSettings",
    "load_config",
]
