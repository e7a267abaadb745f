"""The parts of the configuration that are re-read while the program runs, and how each is read.

To add one: a `Part` with its files and its `read`, its place in `Places`, and its line in PARTS; `Configuration` gets a
property that hands it out in its own type. Everything else (last good versions, words, hash) is the same for all.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from modules import alert_messages, campaigns, service_providers, sla_report, templates
from modules.alert_config import Alert, load_alerts
from modules.announcer import template_samples
from modules.campaigns import CampaignsFileError, load_campaigns
from modules.clock import SHANGHAI
from modules.rewards.campaign import Campaign
from modules.rewards.faults import Fault
from modules.rewards.validation import overlaps
from modules.settings import Settings

SAMPLE_SLOT = datetime(2025, 5, 20, 11, 0, tzinfo=SHANGHAI)
"""When the invented rows of an alert were invented."""


@dataclass(frozen=True)
class Places:
    """Where the files of the configuration lie."""

    campaigns_file: Path
    badges_file: Path
    providers_file: Path
    templates_dir: Path

    @classmethod
    def of(cls, settings: Settings) -> "Places":
        return cls(
            settings.campaigns_file, campaigns.BADGES_FILE, service_providers.PROVIDERS_FILE, templates.TEMPLATES_DIR
        )


@dataclass(frozen=True)
class Found:
    """What a file says: entries that can be used (`valid`, in the order of the file), and what there is to mend.

    `spoilt`: the keys whose entry has a fault; None: the file can't be read at all, so that nothing is known of any.
    """

    valid: Mapping[str, Any]
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    spoilt: frozenset[str] | None = frozenset()

    def is_spoilt(self, key: str) -> bool:
        return self.spoilt is None or key in self.spoilt


def _no_samples(_entry: Any) -> Mapping[str, Mapping[str, Any]]:
    return {}


def _no_clashes(_entries: Iterable[Any]) -> Iterable[tuple[str, Fault]]:
    return ()


@dataclass(frozen=True)
class Part:
    """One part. `title` is its Chinese name, before the key of an entry; `read` never raises.

    `digest` names the contents of an entry; `samples`: the templates that it uses, each with values to try it on;
    `clashes`: entries that can't be used together, each with its fault.
    """

    title: str
    files: Callable[[Places], Iterable[Path]]
    read: Callable[[Places, Settings, date], Found]
    digest: Callable[[Any], str]
    samples: Callable[[Any], Mapping[str, Mapping[str, Any]]] = _no_samples
    clashes: Callable[[Iterable[Any]], Iterable[tuple[str, Fault]]] = _no_clashes


def _campaign_files(places: Places) -> Iterable[Path]:
    return (places.campaigns_file, places.badges_file, campaigns.SHIPPED_FILE)  # the last for its table of cities


def _read_campaigns(places: Places, _settings: Settings, today: date) -> Found:
    try:
        read = load_campaigns(places.campaigns_file, today, places.badges_file)
    except CampaignsFileError as error:
        return Found({}, error.faults, spoilt=None)
    return Found(read.valid, read.faults, read.warnings, read.spoilt)


def _provider_files(places: Places) -> Iterable[Path]:
    return (places.providers_file,)


def _read_providers(places: Places, settings: Settings, _today: date) -> Found:
    read = service_providers.load_providers(places.providers_file, settings.recipients)
    return Found(read.recipient_of, read.faults, spoilt=read.spoilt)


def _alert_files(places: Places) -> Iterable[Path]:
    return (places.campaigns_file, campaigns.SHIPPED_FILE)


def _read_alerts(places: Places, settings: Settings, _today: date) -> Found:
    try:
        read = load_alerts(places.campaigns_file, settings.recipients)
    except CampaignsFileError as error:
        return Found({}, error.faults, spoilt=None)
    return Found(read.valid, read.faults, spoilt=read.spoilt)


def _alert_samples(alert: Alert) -> Mapping[str, Mapping[str, Any]]:
    return {alert.template: alert_messages.sample_values(alert, SAMPLE_SLOT)}


CAMPAIGNS = Part("活动", _campaign_files, _read_campaigns, Campaign.config_hash, template_samples, overlaps)
PROVIDERS = Part("服务商", _provider_files, _read_providers, str)
ALERTS = Part("提醒", _alert_files, _read_alerts, Alert.model_dump_json, _alert_samples)

PARTS = (CAMPAIGNS, ALERTS, PROVIDERS)


def standing_samples(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """The templates that are in use whatever the entries are, each with values to try it on."""
    return sla_report.sample_values(settings.sla)
