"""What operations have written into files, as the program runs by it: campaigns, message templates and so on.

Whatever validates is taken; of what does not, the last good version stays. An entry (a campaign) falls back alone,
unless its file can't be read at all. Templates are taken or kept all together, as they may include one another: they
are taken where everything that runs can be rendered with them. All of this is pure: files read → configuration.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from modules.alert_config import Alerts
from modules.announcer import Announcer
from modules.campaigns import Campaigns
from modules.configuration_parts import ALERTS, CAMPAIGNS, PARTS, PROVIDERS, Found, Part, Places, standing_samples
from modules.message_maker import MessageMaker
from modules.rewards.faults import Fault
from modules.service_providers import Providers
from modules.settings import Settings
from modules.templates import Templates

TEMPLATES = "模板"


@dataclass(frozen=True)
class FilesRead:
    """All files at one moment, not yet judged together: what each part found, by title."""

    found: Mapping[str, Found]
    templates: Templates


@dataclass(frozen=True)
class Configuration:
    """One state of everything that is re-read; a run keeps to one.

    `faults` tells what is wrong with the files now, `kept` what of it runs by an earlier version and from when that
    one is. `hash` names what runs, `loaded_at` when it began to.
    """

    found: Mapping[str, Found]
    templates: Templates
    maker: MessageMaker
    announcer: Announcer
    faults: tuple[Fault, ...]
    kept: Mapping[str, datetime]
    loaded_at: datetime
    hash: str

    @property
    def campaigns(self) -> Campaigns:
        """The campaigns that run, with the faults and warnings of their file as it is now."""
        found = self.found[CAMPAIGNS.title]
        return Campaigns(found.valid, found.faults, found.warnings)

    @property
    def alerts(self) -> Alerts:
        """The alerts that run, with the faults of their table as it is now."""
        found = self.found[ALERTS.title]
        return Alerts(found.valid, found.faults)

    @property
    def providers(self) -> Providers:
        """Who hears of which service provider, with the faults of the file as it is now."""
        found = self.found[PROVIDERS.title]
        return Providers(found.valid, found.faults)

    def contents(self) -> dict[str, dict[str, str]]:
        """Part → entry → what names its contents."""
        named = {
            part.title: {key: part.digest(entry) for key, entry in self.found[part.title].valid.items()}
            for part in PARTS
        }
        return named | {TEMPLATES: self.templates.sources}


def read_files(places: Places, settings: Settings, today: date) -> FilesRead:
    """Everything as the files have it at the moment. Never raises."""
    found = {part.title: part.read(places, settings, today) for part in PARTS}
    return FilesRead(found, Templates.read(places.templates_dir))


def first_configuration(
    read: FilesRead, settings: Settings, now: datetime, *, tries_templates: bool = True
) -> Configuration:
    """At the start there is no earlier version: what is valid runs, and a bad template gives plain words.

    Templates take a while to try, and one-shot commands need not know.
    """
    samples = [part.samples(entry) for part in PARTS for entry in read.found[part.title].valid.values()]
    samples.append(standing_samples(settings))
    faults = [fault for found in read.found.values() for fault in found.faults]
    faults += read.templates.faults_on(samples) if tries_templates else []
    return _configuration(read.found, read.templates, faults, {}, settings, now)


def next_configuration(last: Configuration, read: FilesRead, settings: Settings, now: datetime) -> Configuration:
    """What runs once the files have changed to this."""
    merged = [_merge(part, read.found[part.title], last, read.templates) for part in PARTS]
    samples = [sample for one in merged for sample in one.samples]
    template_faults = read.templates.faults_on([*samples, standing_samples(settings)])
    templates = read.templates
    if template_faults:
        templates = last.templates
        merged = [_merge(part, read.found[part.title], last, templates) for part in PARTS]
    found = {part.title: one.found for part, one in zip(PARTS, merged, strict=True)}
    told = {fault.text for fault in template_faults}
    faults = [fault for one in merged for fault in one.faults if fault.text not in told] + template_faults
    kept = [name for one in merged for name in one.kept]
    kept += [TEMPLATES] * (templates.sources != read.templates.sources)
    since = {name: last.kept.get(name, last.loaded_at) for name in kept}
    return _configuration(found, templates, faults, since, settings, now, last)


@dataclass(frozen=True)
class _Merged:
    """A part after its entries with a fault have fallen back. `samples`: of those, which the templates must bear."""

    found: Found
    faults: list[Fault]
    kept: list[str]
    samples: list[Mapping[str, Mapping[str, Any]]]


def _merge(part: Part, found: Found, last: Configuration, templates: Templates) -> _Merged:
    before = last.found[part.title].valid
    fallen_back = {key: entry for key, entry in before.items() if found.is_spoilt(key)}
    fresh = dict(found.valid)
    faults = list(found.faults)
    while bad := _unusable(part, fresh, fallen_back, templates):
        for key, fault in bad:
            faults.append(fault)
            if fresh.pop(key, None) is not None and key in before:
                fallen_back[key] = before[key]
    valid = _in_order(found.valid, before, fresh | fallen_back)
    kept = [
        f"{part.title} {key}"
        for key, entry in fallen_back.items()
        if key not in found.valid or part.digest(found.valid[key]) != part.digest(entry)
    ]
    samples = [part.samples(entry) for entry in fallen_back.values()]
    return _Merged(replace(found, valid=valid), faults, kept, samples)


def _unusable(
    part: Part, fresh: Mapping[str, Any], fallen_back: Mapping[str, Any], templates: Templates
) -> list[tuple[str, Fault]]:
    """The fresh entries that can't be used beside the others, or with these templates."""
    clashing = part.clashes([*fresh.values(), *fallen_back.values()])
    bad = [(key, fault) for key, fault in clashing if key in fresh]
    for key, entry in fresh.items():
        bad += [(key, Fault(f"{part.title} {key}", words)) for words in templates.failures(part.samples(entry))]
    return bad


def _in_order(*orders_and_entries: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of the last, in the order of the first ones."""
    *orders, entries = orders_and_entries
    keys = dict.fromkeys(key for order in orders for key in order)
    return {key: entries[key] for key in keys if key in entries}


def _configuration(
    found: Mapping[str, Found],
    templates: Templates,
    faults: Sequence[Fault],
    kept: Mapping[str, datetime],
    settings: Settings,
    now: datetime,
    last: Configuration | None = None,
) -> Configuration:
    maker = MessageMaker(settings, templates)
    made = Configuration(
        found=found,
        templates=templates,
        maker=maker,
        announcer=Announcer(settings, maker),
        faults=tuple(dict.fromkeys(faults)),
        kept=kept,
        loaded_at=now,
        hash="",
    )
    digest = hashlib.sha256(json.dumps(made.contents(), sort_keys=True).encode()).hexdigest()[:16]
    began = last.loaded_at if last is not None and last.hash == digest else now
    return replace(made, hash=digest, loaded_at=began)
