"""config/settings.yaml + .env + environment (strongest) → one frozen, validated `Settings`.

Nothing else in the program reads a settings file or the environment.
"""

import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import sqlalchemy as sa
import yaml
from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator

from modules.desktop_settings import DesktopSettings
from modules.recipients import OPERATIONS, RecipientSettings, SenderName
from modules.rewards.faults import Fault, FaultsError, PathPart, faults_of, join_path
from modules.schedule_settings import ScheduleSettings
from modules.settings_section import Section
from modules.sla_settings import SlaSettings
from modules.system_words import reason_of

ROOT = Path(__file__).resolve().parent.parent
SHIPPED_FILE = ROOT / "config" / "settings.yaml"

ENVIRONMENT_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "METABASE_URL": ("metabase", "url"),
    "METABASE_API_KEY": ("metabase", "api_key"),
    "METABASE_USERNAME": ("metabase", "username"),
    "METABASE_PASSWORD": ("metabase", "password"),
    "WECOM_BASE_URL": ("wecom", "base_url"),
    "DATABASE_URL": ("database_url",),
    "DATA_DIR": ("data_dir",),
    "ENVIRONMENT": ("environment",),
    "RUN_JOBS_SERIALLY_SCHEDULE": ("schedule", "run_jobs_serially_minutes"),
    "TASK_CHECK_INTERVAL": ("schedule", "task_check_seconds"),
    "CAMPAIGNS_FILE": ("campaigns_file",),
}
"""Which environment variable sets which setting. `SETTINGS_FILE` names the file itself."""


class SettingsError(FaultsError):
    """The settings can't be used; the message lists every fault with file, key and remedy."""


class MetabaseSettings(Section):
    """Where contracts come from. An API key is preferred to a user name and password. Times in seconds."""

    url: str = Field("", pattern=r"^$|^https?://")
    api_key: SecretStr = SecretStr("")
    username: str = ""
    password: SecretStr = SecretStr("")
    connect_timeout: float = Field(5, gt=0)
    read_timeout: float = Field(60, gt=0)
    time_budget: float = Field(180, gt=0)


class WecomSettings(Section):
    """The WeCom robot service. `messages_per_minute` is per robot, 0 switches the limit off. Times in seconds."""

    base_url: str = Field("https://qyapi.weixin.qq.com", pattern=r"^https?://")
    messages_per_minute: int = Field(20, ge=0)
    connect_timeout: float = Field(5, gt=0)
    read_timeout: float = Field(15, gt=0)


class QueueSettings(Section):
    """Leases (seconds), attempts per message, and how long good news stays news (hours).

    `machines` binds a sender to the machine with this host name; workers elsewhere leave its messages alone.
    """

    lease_seconds: float = Field(120, gt=0)
    broadcast_max_attempts: int = Field(5, ge=1)
    notice_max_attempts: int = Field(8, ge=1)
    broadcast_expires_hours: float = Field(24, gt=0)
    machines: Mapping[SenderName, str] = Field(default_factory=dict)


class FileSettings(Section):
    """How long archived CSV files are kept, in days."""

    archive_days: int = Field(30, ge=1)


class DashboardSettings(Section):
    """Where the dashboard listens. Any address but this machine's own needs a sign-in (streamlit_app/access.py)."""

    address: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8501, ge=1, le=65535)


class LogSettings(Section):
    """Size at which a log file rolls over (megabytes), and how many old ones are kept; from which level on lines are
    kept (None: INFO, in development DEBUG); whether files hold a JSON object a line."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None
    json_lines: bool = False
    file_megabytes: float = Field(10, gt=0)
    files_kept: int = Field(10, ge=1)


class HealthSettings(Section):
    """Who is told where the daemon or the operations robot is dead (`status --alert`; a key of `recipients`, empty:
    nobody), and the port on this machine where `/healthz` and `/metrics` are answered (0: none)."""

    second_recipient: str = ""
    port: int = Field(0, ge=0, le=65535)


DATABASE_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")

_DATABASE_REMEDY = "请写成 postgresql+psycopg://用户:密码@主机/库名 或 sqlite:///文件，或留空用数据文件夹里的 tasks.db"

LONGEST_SEND_SECONDS = 90
"""As long as a file's upload or a message by keyboard may take, with the deadlines as shipped."""


class Settings(Section):
    """Everything that this installation was told. Paths are absolute."""

    environment: Literal["development", "production"] = "production"
    data_dir: Path = Path("data")
    database_url: str = ""
    campaigns_file: Path = Path("modules/config.py")
    metabase: MetabaseSettings = MetabaseSettings()
    wecom: WecomSettings = WecomSettings()
    desktop: DesktopSettings = DesktopSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    queue: QueueSettings = QueueSettings()
    files: FileSettings = FileSettings()
    dashboard: DashboardSettings = DashboardSettings()
    logs: LogSettings = LogSettings()
    sla: SlaSettings = SlaSettings()
    recipients: Mapping[str, RecipientSettings] = Field(default_factory=dict)
    health: HealthSettings = HealthSettings()

    @field_validator("database_url")
    @classmethod
    def _names_a_database(cls, value: str) -> str:
        """A file or a PostgreSQL database; the value is not shown, as it may hold a password."""
        try:
            url = sa.make_url(value) if value else None
        except (sa.exc.ArgumentError, ValueError):
            raise ValueError(f"不是数据库地址；{_DATABASE_REMEDY}") from None
        if url is not None and url.drivername not in DATABASE_DRIVERS:
            raise ValueError(f"不能用 {url.drivername}，只能用 SQLite 或 PostgreSQL；{_DATABASE_REMEDY}")
        if url is not None and url.drivername.startswith("sqlite") and url.database in (None, "", ":memory:"):
            raise ValueError(f"没有写文件，数据只在内存里，程序一停就没有了；{_DATABASE_REMEDY}")
        return value

    @field_validator("health")
    @classmethod
    def _second_is_another(cls, value: HealthSettings, info: ValidationInfo) -> HealthSettings:
        recipients: Mapping[str, RecipientSettings] = info.data.get("recipients", {})
        second, operations = recipients.get(value.second_recipient), recipients.get(OPERATIONS)
        if not value.second_recipient or "recipients" not in info.data:
            return value
        if second is None:
            raise ValueError(f"second_recipient 写的 {value.second_recipient} 不在 recipients 里；请改正或留空")
        if value.second_recipient == OPERATIONS or (operations is not None and _is_one_channel(second, operations)):
            raise ValueError("second_recipient 要和 ops 不是同一个机器人：它要在 ops 的机器人失灵时收到消息")
        return value

    @property
    def state_dir(self) -> Path:
        """Locks, the cached Metabase session and the like; always below `data_dir`."""
        return self.data_dir / "state"

    @property
    def archive_dir(self) -> Path:
        return self.data_dir / "archive"

    @property
    def backup_dir(self) -> Path:
        return self.data_dir / "backups"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "logs"

    def secrets(self) -> tuple[str, ...]:
        """Every secret text in use, so that the logs can blot them out."""
        texts = [secret.get_secret_value() for secret in (self.metabase.api_key, self.metabase.password)]
        texts += [secret for recipient in self.recipients.values() for secret in recipient.secrets()]
        texts += re.findall(r"://[^/@]*:([^/@]+)@", self.database_url)
        return tuple(sorted({text for text in texts if text}, key=len, reverse=True))

    @property
    def longest_send_seconds(self) -> float:
        """How long one message may take in all, whoever sends it."""
        return LONGEST_SEND_SECONDS + self.wecom.connect_timeout + self.wecom.read_timeout

    def warnings(self) -> list[Fault]:
        """What is not wrong but will be missed: no Metabase address, no credentials, robots without a key, a lease that
        is over while a message is still being sent."""
        found = []
        if not self.metabase.url:
            found.append(Fault("METABASE_URL", "未设置，无法取得合同；请写进 .env"))
        elif not self.metabase.api_key.get_secret_value() and not self.metabase.password.get_secret_value():
            found.append(
                Fault("METABASE_API_KEY", "未设置，也没有 METABASE_USERNAME 和 METABASE_PASSWORD；请写进 .env")
            )
        if self.queue.lease_seconds < self.longest_send_seconds:
            found.append(
                Fault(
                    "queue.lease_seconds",
                    f"{self.queue.lease_seconds:g} 秒比最慢的一次发送（{self.longest_send_seconds:g} 秒）还短，"
                    "没发完的消息会被当作中断；请改长，或调短 wecom 的超时",
                )
            )
        for key, recipient in self.recipients.items():
            if recipient.sender == "wecom_robot" and not recipient.key.get_secret_value():
                found.append(
                    Fault(
                        f"recipients.{key}.key",
                        f"{recipient.name} 的机器人密钥未设置，发给它的消息会失败；"
                        f"请在 .env 里写上 {robot_key_variable(key)}",
                    )
                )
        return found


def _is_one_channel(one: RecipientSettings, other: RecipientSettings) -> bool:
    """Whether what stops one stops the other: they share a robot."""
    key = one.key.get_secret_value()
    return bool(key) and key == other.key.get_secret_value()


def robot_key_variable(recipient_key: str) -> str:
    """The environment variable that holds a robot's key by convention: `bj_group` → `WECOM_KEY_BJ_GROUP`."""
    return f"WECOM_KEY_{recipient_key.upper()}"


def load_settings(environ: Mapping[str, str] | None = None, root: Path = ROOT) -> Settings:
    """Read settings.yaml, .env and the environment (default: this process's) below `root`.

    Raises SettingsError with all faults at once.
    """
    variables = _variables(os.environ if environ is None else environ, root)
    named = variables.get("SETTINGS_FILE", "")
    sections = _read_yaml(SHIPPED_FILE)
    sources = dict.fromkeys(sections, str(SHIPPED_FILE.relative_to(ROOT)))
    if named:
        own = _read_yaml(root / named)
        sections |= own
        sources |= dict.fromkeys(own, named)
    document = _substitute(sections, variables)
    overridden = _override(document, variables)
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        faults = faults_of(error, Settings, lambda loc: _where(loc, sources, overridden))
        raise SettingsError(faults) from None  # pydantic's own error shows the values, secrets among them
    data_dir = root / settings.data_dir
    database_file = quote((data_dir / "tasks.db").as_posix(), safe="/:")
    return settings.model_copy(
        update={
            "data_dir": data_dir,
            "database_url": settings.database_url or f"sqlite:///{database_file}",
            "campaigns_file": root / settings.campaigns_file,
        }
    )


def settings_files(environ: Mapping[str, str] | None = None, root: Path = ROOT) -> tuple[Path, ...]:
    """The files that `load_settings` reads, there or not. Raises SettingsError."""
    named = _variables(os.environ if environ is None else environ, root).get("SETTINGS_FILE", "")
    return (SHIPPED_FILE, *([root / named] if named else []), root / ".env")


def _variables(environ: Mapping[str, str], root: Path) -> dict[str, str]:
    """.env below the environment; what is set to nothing counts as not set. Raises SettingsError."""
    try:
        from_file = {name: value or "" for name, value in dotenv_values(root / ".env").items()}
    except UnicodeDecodeError as error:
        raise SettingsError([Fault(".env", "不是 UTF-8 编码；请用记事本另存为，编码选 UTF-8")]) from error
    layers = [from_file, environ]
    return {name: value for layer in layers for name, value in layer.items() if value.strip()}


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = _parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            [Fault(str(path), f"读不到设置文件（{reason_of(error)}）；请检查 SETTINGS_FILE")]
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError([Fault(str(path), f"不是有效的 YAML（UTF-8）：{yaml_in_words(error)}")]) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SettingsError([Fault(str(path), "最外层应是一组键和值")])
    return {str(key): value for key, value in document.items()}


def yaml_in_words(error: yaml.YAMLError | UnicodeDecodeError) -> str:
    """Why a YAML file can't be read, with the place, and what to do."""
    if isinstance(error, UnicodeDecodeError):
        return "编码不是 UTF-8；请用记事本另存为，编码选 UTF-8"
    mark = getattr(error, "problem_mark", None)
    place = f"第 {mark.line + 1} 行第 {mark.column + 1} 个字附近" if mark else ""
    reason = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"{place}有错（{reason}）；请检查冒号、引号、括号和缩进（用空格，不用 Tab）"


@lru_cache(maxsize=8)
def _parse_yaml(text: str) -> object:
    """Read once: the doors ask for the settings at every call. Nobody may change what it returns."""
    return yaml.safe_load(text)


def _substitute(value: Any, variables: Mapping[str, str]) -> Any:
    """`${NAME}` in texts → the variable's value, or nothing where it is not set."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match.group(1), ""), value)
    if isinstance(value, dict):
        return {str(key): _substitute(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, variables) for item in value]
    return value


def _override(document: dict[str, Any], variables: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Lay the environment over `document`; returns which path came from which variable."""
    overridden = {}
    for name, path in ENVIRONMENT_VARIABLES.items():
        if name not in variables:
            continue
        target = document
        for part in path[:-1]:
            target = target.setdefault(part, {})
        if isinstance(target, dict):
            target[path[-1]] = variables[name]
            overridden[path] = name
    return overridden


def _where(location: Sequence[PathPart], sources: Mapping[str, str], overridden: Mapping[tuple[str, ...], str]) -> str:
    variable = overridden.get(tuple(str(part) for part in location))
    if variable:
        return f"环境变量 {variable}"
    file = sources.get(str(location[0]), "config/settings.yaml") if location else "config/settings.yaml"
    return f"{file}: {join_path('', location)}"
