"""`main.py check`: everything that can be wrong before the start, found at once, without sending or writing anything.

And `check --accept`, which writes down that a person accepts what has changed in a running campaign.
"""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import requests
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from modules import config_guard
from modules.alert_config import Alerts, alert_path, load_alerts
from modules.alert_messages import sample_values as sample_alert
from modules.announcer import template_samples
from modules.campaigns import Campaigns, load_campaigns
from modules.database import Database, in_words, reason_in_words
from modules.errors import JobRefusedError
from modules.recipients import OPERATIONS
from modules.request_module import MetabaseClient, MetabaseError
from modules.rewards.campaign import Campaign
from modules.rewards.faults import Fault, FaultsError
from modules.rewards.validation import entry_path
from modules.senders import apprise_channel
from modules.service_providers import PROVIDERS_FILE, load_providers
from modules.settings import Settings, load_settings
from modules.sla_report import sample_values
from modules.soundness import damage_of, database_file
from modules.templates import TEMPLATES_DIR, Templates


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


def check_everything(now: datetime, *, online: bool, whole_database: bool = True) -> Findings:
    """Settings, campaigns, templates and recipients; with `online` the connections too.

    `whole_database`: whether a SQLite file is read from end to end, which takes seconds where it is large.
    """
    try:
        settings = load_settings()
    except FaultsError as error:
        return Findings(error.faults)
    found = Findings(warnings=tuple(settings.warnings()), notes=("设置有效",))
    try:
        campaigns = load_campaigns(settings.campaigns_file, now.date())
        alerts = load_alerts(settings.campaigns_file, settings.recipients)
    except FaultsError as error:
        return found + Findings(error.faults)
    found += check_campaigns(campaigns, settings)
    found += check_providers(settings)
    found += check_alerts(alerts, now)
    found += check_data_dir(settings)
    found += check_changes(campaigns, settings, online=online, whole_database=whole_database)
    return found + check_connections(settings, now) if online else found


def check_campaigns(campaigns: Campaigns, settings: Settings, templates_dir: Path = TEMPLATES_DIR) -> Findings:
    """The campaigns' own faults and warnings, and whether their templates render and their recipients are known."""
    templates = Templates.read(templates_dir)
    faults = [*campaigns.faults]
    warnings = [*campaigns.warnings, *_sender_warnings(settings)]
    for campaign in campaigns.valid.values():
        faults += _template_faults(campaign, templates)
        warnings += _recipient_warnings(campaign, settings)
    faults += [fault for fault in templates.faults() if not any(fault.path in told.text for told in faults)]
    note = f"{len(campaigns.valid)} 个活动可以运行：{'、'.join(campaigns.valid) or '无'}"
    return Findings(tuple(faults), tuple(warnings), (note,))


def check_providers(settings: Settings, file: Path = PROVIDERS_FILE, templates_dir: Path = TEMPLATES_DIR) -> Findings:
    """Who hears for which provider, and whether the templates of what they hear render."""
    faults = [*load_providers(file, settings.recipients).faults]
    failures = Templates.read(templates_dir).failures(sample_values(settings.sla))
    faults += [Fault("模板", words) for words in failures]
    if OPERATIONS in settings.recipients:
        return Findings(tuple(faults))
    words = f"没有 {OPERATIONS}：告警、没有收件人的服务商的消息都没有人收到；请在 recipients 里加上"
    return Findings(tuple(faults), (Fault("recipients", words),))


def check_alerts(alerts: Alerts, now: datetime, templates_dir: Path = TEMPLATES_DIR) -> Findings:
    """The faults of alerts, and whether their templates render."""
    templates = Templates.read(templates_dir)
    faults = [*alerts.faults]
    for alert in alerts.valid.values():
        path = alert_path(alert.name, ("template",))
        faults += [Fault(path, words) for words in templates.failures({alert.template: sample_alert(alert, now)})]
    titles = "、".join(alert.title for alert in alerts.enabled)
    return Findings(tuple(faults), notes=(f"{len(alerts.enabled)} 个提醒已启用：{titles or '无'}",))


def check_data_dir(settings: Settings) -> Findings:
    """Whether the data folder, or the one that it would be made in, is a folder and may be written to."""
    there = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    if not there.is_dir():
        return Findings((Fault("DATA_DIR", f"{there} 不是文件夹；请改 DATA_DIR，或移走这个文件"),))
    if not os.access(there, os.W_OK):
        return Findings((Fault("DATA_DIR", f"没有写入 {there} 的权限；请改 DATA_DIR，或改这个文件夹的权限"),))
    return Findings()


def check_changes(
    campaigns: Campaigns, settings: Settings, *, online: bool = False, whole_database: bool = True
) -> Findings:
    """What has changed in campaigns that have run. Reads the database as it is, and makes none; one that is damaged
    (looked for with `whole_database`) is a fault, as the program does not start with it. So is, with `online`, one that
    can't be reached."""
    try:
        file = database_file(settings)
        if whole_database and file is not None and file.is_file() and (damage := damage_of(file)):
            return Findings((Fault("数据库", damage),))
        engine = _engine_as_it_is(settings.database_url)
        if engine is None:
            return Findings(notes=("还没有数据库：没有已运行的活动可以比较",))
        try:
            return _changes_in(engine, campaigns)
        finally:
            engine.dispose()
    except sa.exc.DBAPIError as error:
        words = in_words(error)
    except sqlite3.Error as error:
        words = reason_in_words(str(error))
    except (sa.exc.ArgumentError, ImportError, OSError) as error:
        words = f"打不开（{type(error).__name__}），请检查 DATABASE_URL"
    told = (Fault("数据库", f"没有和上次运行的活动配置比较：{words}"),)
    return Findings(told) if online else Findings(warnings=told)


def accept_changes(key: str, now: datetime, who: str) -> tuple[Fault, ...]:
    """A person accepts what has changed in a running campaign; returns what that was, nothing where there was nothing.

    Raises SettingsError, CampaignsFileError, JobRefusedError, DatabaseError.
    """
    settings = load_settings()
    campaigns = load_campaigns(settings.campaigns_file, now.date())
    if campaigns.faults_with(key):
        raise JobRefusedError("\n".join(map(str, campaigns.faults_with(key))))
    if key not in campaigns.valid:
        raise JobRefusedError(f"没有名为 {key} 的活动；现有：{'、'.join(campaigns.valid) or '无'}")
    if _engine_as_it_is(settings.database_url) is None:
        return ()
    database = Database(settings.database_url)
    try:
        database.upgrade()
        with database.writing() as connection:
            return config_guard.accept(connection, campaigns.valid[key], now, who)
    finally:
        database.close()


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


def _engine_as_it_is(url: str) -> Engine | None:
    """For the database as it is: without a file there is none, and nothing about the file changes."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, connect_args={"connect_timeout": 10})
    file = Path(sa.make_url(url).database or "")
    if not file.is_file():
        return None
    address = f"{file.resolve().as_uri()}?mode=rw"  # which opens what is there; read-only would leave files behind
    return sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=sa.NullPool)


def _changes_in(engine: Engine, campaigns: Campaigns) -> Findings:
    with engine.connect() as connection:
        tables = sa.inspect(connection)
        if not tables.has_table("campaigns"):
            return Findings()  # nothing has ever run here
        if "config_hash" not in {column["name"] for column in tables.get_columns("campaigns")}:
            return Findings(warnings=(Fault("数据库", "是旧版本的，程序下次启动时更新；没有和上次运行的活动配置比较"),))
        found = [config_guard.guarded(connection, campaign) for campaign in campaigns.valid.values()]
    faults = tuple(fault for guarded in found for fault in guarded.faults)
    return Findings(faults, tuple(warning for guarded in found for warning in guarded.warnings))


def _sender_warnings(settings: Settings) -> Iterator[Fault]:
    for key, recipient in settings.recipients.items():
        if recipient.sender == "apprise" and (trouble := apprise_channel.trouble(recipient)):
            yield Fault(f"recipients.{key}.url", f"发给它的消息会失败：{trouble}")


def _template_faults(campaign: Campaign, templates: Templates) -> Iterator[Fault]:
    for words in templates.failures(template_samples(campaign)):
        yield Fault(entry_path(campaign.key, ("notification", "template")), words)


def _recipient_warnings(campaign: Campaign, settings: Settings) -> Iterator[Fault]:
    for role in ("group", "contact"):
        recipient = getattr(campaign.notification, role)
        if recipient in settings.recipients:
            continue
        near = get_close_matches(recipient, settings.recipients, n=1)
        hint = f"，是否想写 {near[0]}？" if near else ""
        text = f"settings.yaml 的 recipients 里没有 {recipient!r}{hint}会当作桌面聊天的名称发送"
        yield Fault(entry_path(campaign.key, ("notification", role)), text)
