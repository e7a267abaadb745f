"""`main.py check`: everything that can be wrong before the start, found at once and without sending anything."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import requests

from modules.announcer import AWARD_TEMPLATE, sample_award_values, sample_broadcast_values
from modules.campaigns import Campaigns, load_campaigns
from modules.message_sender import PROVIDED_SENDERS
from modules.request_module import MetabaseClient, MetabaseError
from modules.rewards.campaign import Campaign
from modules.rewards.faults import Fault, FaultsError
from modules.rewards.validation import entry_path
from modules.settings import Settings, load_settings
from modules.templates import TEMPLATES_DIR, MessageTemplateError, Templates


@dataclass(frozen=True)
class Findings:
    """What `check` found. `faults` must be mended, `warnings` should be looked at, `notes` are good news."""

    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: "Findings") -> "Findings":
        return Findings(self.faults + other.faults, self.warnings + other.warnings, self.notes + other.notes)

    def summary(self) -> dict[str, object]:
        """As `check --json` prints it."""
        return {
            "ok": not self.faults,
            "faults": [asdict(fault) for fault in self.faults],
            "warnings": [asdict(warning) for warning in self.warnings],
        }


def check_everything(now: datetime, *, online: bool) -> Findings:
    """Settings, campaigns, templates and recipients; with `online` the connections too."""
    try:
        settings = load_settings()
    except FaultsError as error:
        return Findings(error.faults)
    found = Findings(warnings=tuple(settings.warnings()), notes=("设置有效",))
    try:
        campaigns = load_campaigns(settings.campaigns_file, now.date())
    except FaultsError as error:
        return found + Findings(error.faults)
    found += check_campaigns(campaigns, settings)
    return found + check_connections(settings, now) if online else found


def check_campaigns(campaigns: Campaigns, settings: Settings, templates_dir: Path = TEMPLATES_DIR) -> Findings:
    """The campaigns' own faults and warnings, and whether their templates render and their recipients are known."""
    templates = Templates(templates_dir)
    faults = [*campaigns.faults]
    warnings = [*campaigns.warnings, *_sender_warnings(settings)]
    for campaign in campaigns.valid.values():
        faults += _template_faults(campaign, templates)
        warnings += _recipient_warnings(campaign, settings)
    note = f"{len(campaigns.valid)} 个活动可以运行：{'、'.join(campaigns.valid) or '无'}"
    return Findings(tuple(faults), tuple(warnings), (note,))


def check_connections(settings: Settings, now: datetime) -> Findings:
    """Sign in to Metabase, and see whether the WeCom service answers. Sends no message."""
    faults, notes = [], []
    with MetabaseClient(settings.metabase, settings.state_dir, lambda: now) as client:
        try:
            notes.append(f"Metabase 已连接：{client.check()}")
        except MetabaseError as error:
            faults.append(Fault("METABASE_URL", str(error)))
    if any(recipient.sender == "wecom_robot" for recipient in settings.recipients.values()):
        timeouts = (settings.wecom.connect_timeout, settings.wecom.read_timeout)
        try:
            requests.head(settings.wecom.base_url, timeout=timeouts, allow_redirects=False).close()
            notes.append(f"企业微信可以连接：{settings.wecom.base_url}")
        except requests.RequestException as error:
            text = f"连不上 {settings.wecom.base_url}（{type(error).__name__}），请检查网络和 WECOM_BASE_URL"
            faults.append(Fault("WECOM_BASE_URL", text))
    return Findings(tuple(faults), notes=tuple(notes))


def _sender_warnings(settings: Settings) -> Iterator[Fault]:
    for key, recipient in settings.recipients.items():
        if recipient.sender not in PROVIDED_SENDERS:
            text = f"{recipient.name}：发送方式 {recipient.sender} 尚未提供，发给它的消息会失败；可改用 wecom_robot"
            yield Fault(f"recipients.{key}.sender", text)


def _template_faults(campaign: Campaign, templates: Templates) -> Iterator[Fault]:
    samples = {
        campaign.notification.template: sample_broadcast_values(campaign),
        AWARD_TEMPLATE: sample_award_values(campaign),
    }
    for name, values in samples.items():
        try:
            templates.render(name, values)
        except MessageTemplateError as error:
            yield Fault(entry_path(campaign.key, ("notification", "template")), str(error))


def _recipient_warnings(campaign: Campaign, settings: Settings) -> Iterator[Fault]:
    for role in ("group", "contact"):
        recipient = getattr(campaign.notification, role)
        if recipient in settings.recipients:
            continue
        near = get_close_matches(recipient, settings.recipients, n=1)
        hint = f"，是否想写 {near[0]}？" if near else ""
        text = f"settings.yaml 的 recipients 里没有 {recipient!r}{hint}会当作桌面聊天的名称发送"
        yield Fault(entry_path(campaign.key, ("notification", role)), text)
