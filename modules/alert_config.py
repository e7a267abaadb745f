"""The shape of an ALERT_CONFIGS entry, and the entries of a campaigns file, validated.

An alert tells somebody of a Metabase question's rows: each new row once, or the whole table at its time.
"""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from modules.campaigns import SHIPPED_FILE, duplicate_keys, execute, syntax_tree
from modules.recipients import OPERATIONS
from modules.rewards.faults import Fault, Location, PathPart, faults_of, join_path, nearest
from modules.rewards.sections import WholeNumber
from modules.schedule_settings import FixedJobs
from modules.settings_section import Section

CONFIG_NAME = "ALERT_CONFIGS"
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_COLUMN_NAME = re.compile(r"[^\W\d_]\w*")  # templates can't reach what begins with an underscore
_TIME_OF_DAY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _times_of_day(value: object) -> object:
    written = _one_or_several(value)
    if not isinstance(written, list | tuple):
        raise ValueError(f'{value!r} 读不懂，应写成 "09:00"，或几个时间 ["09:00", "15:30"]')  # noqa: TRY004 - pydantic takes ValueError
    return sorted({_time_of_day(text) for text in written})


def _time_of_day(text: object) -> time:
    match = _TIME_OF_DAY.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f'{text!r} 不是一天里的时间，应写成 "09:00" 的形式')
    return time(int(match[1]), int(match[2]))


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_one_or_several)]
TimesOfDay = Annotated[tuple[time, ...], BeforeValidator(_times_of_day)]


class Column(Section):
    """Where a column is found: under one of these names, else at `position` (from 1)."""

    name: Annotated[Texts, Field(min_length=1)]
    position: Annotated[WholeNumber, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_names(cls, written: object) -> object:
        return {"name": written} if isinstance(written, str | list | tuple) else written


class Alert(Section):
    """One alert, validated. `name` is its key in ALERT_CONFIGS and the name of its job.

    It runs at each time of day of `at` (Asia/Shanghai) or every so many minutes. `columns` are the columns that it
    uses: the name by which template and other fields know it → where it is found. `key` are those that tell a row
    from others: each such row is told once. Without a key every run tells all rows there are.
    """

    name: str = Field(json_schema_extra={"derived": True})
    title: Text
    card_id: Annotated[WholeNumber, Field(gt=0)]
    at: TimesOfDay = ()
    every_minutes: Annotated[WholeNumber, Field(ge=1, le=1440)] | None = None
    columns: Annotated[Mapping[str, Column], Field(min_length=1)]
    template: Annotated[str, Field(pattern=r"^\w+$")]
    per: Literal["row", "table"]
    recipient: Text | None = None
    recipient_column: str | None = None
    recipient_map: Mapping[str, Text] | None = None
    also: Texts = ()
    key: Texts = ()
    order_by: str | None = None
    baseline: bool | None = None
    enabled: bool = True

    @property
    def has_baseline(self) -> bool:
        """Whether the first pull only shows what there was before: so it is for all that is told once, unless
        somebody says otherwise."""
        return bool(self.key) and self.baseline is not False


@dataclass(frozen=True)
class Alerts:
    """What can run (`valid`, in the order of the file), and what there is to mend.

    `spoilt`: the names that a fault keeps out; None: nobody knows, as there is no table.
    """

    valid: Mapping[str, Alert] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    spoilt: frozenset[str] | None = frozenset()

    @property
    def enabled(self) -> tuple[Alert, ...]:
        """Those that are to be scheduled."""
        return tuple(alert for alert in self.valid.values() if alert.enabled)

    def faults_with(self, name: str) -> list[Fault]:
        """The faults of one alert."""
        return [fault for fault in self.faults if fault.path.startswith(alert_path(name))]


def alert_path(key: object, location: Location = ()) -> str:
    """`ALERT_CONFIGS["check_technician_status"].columns.id.position`."""
    return join_path(f'{CONFIG_NAME}["{key}"]', location)


def load_alerts(path: Path, recipients: Container[str]) -> Alerts:
    """The alerts of a Python file that defines ALERT_CONFIGS; of one that does not, the shipped ones.

    `recipients` are the keys that settings know. An alert with a fault is left out and its faults told. Raises
    CampaignsFileError where the file can't be executed.
    """
    tree, namespace = syntax_tree(path), execute(path)
    if CONFIG_NAME not in namespace:
        tree, namespace = syntax_tree(SHIPPED_FILE), execute(SHIPPED_FILE)
    entries = namespace[CONFIG_NAME]
    if not isinstance(entries, Mapping):
        return Alerts(faults=(Fault(CONFIG_NAME, "应是一组键和值"),), spoilt=None)
    return parse_alerts(entries, recipients, list(duplicate_keys(tree, CONFIG_NAME)))


def parse_alerts(
    entries: Mapping[Any, Any], recipients: Container[str], twice: Sequence[tuple[str, Fault]] = ()
) -> Alerts:
    """All alerts of ALERT_CONFIGS; `twice` are keys written twice in it, each with the alert that it spoils."""
    valid: dict[str, Alert] = {}
    faults = [fault for _, fault in twice]
    spoilt = {key for key, _ in twice}
    for key, entry in entries.items():
        alert, its_faults = _parse_one(str(key), entry, recipients)
        faults += its_faults
        if alert is not None and not its_faults and alert.name not in spoilt:
            valid[alert.name] = alert
    return Alerts(valid, tuple(faults), frozenset(map(str, entries)) - valid.keys())


def _parse_one(key: str, entry: object, recipients: Container[str]) -> tuple[Alert | None, list[Fault]]:
    if not _KEY.fullmatch(key):
        words = "名称应由小写字母、数字和下划线组成，例如 pending_orders；若是活动，请移到 REWARD_CONFIGS 里"
        return None, [Fault(alert_path(key), words)]
    if key in FixedJobs.model_fields:
        return None, [Fault(alert_path(key), "是程序自己的任务的名称，请换一个名称")]
    if not isinstance(entry, Mapping):
        return None, [Fault(alert_path(key), "应是一组键和值")]
    faults = []
    written = {str(name): value for name, value in entry.items() if value is not None}
    if written.pop("name", None) is not None:
        faults.append(Fault(alert_path(key, ("name",)), "未知的键，名称已写在外面，请删去；显示的名称写在 title"))
    try:
        alert = Alert.model_validate({**written, "name": key})
    except ValidationError as error:
        return None, faults + faults_of(error, Alert, lambda location: alert_path(key, tuple(location)))
    found = [*_timing_faults(alert), *_column_faults(alert), *_key_faults(alert), *_recipient_faults(alert, recipients)]
    return alert, faults + [Fault(alert_path(key, location), text) for location, text in found]


Found = tuple[Location, str]
"""Where something is wrong, and what."""


def _timing_faults(alert: Alert) -> Iterator[Found]:
    if not alert.at and alert.every_minutes is None:
        yield ("at",), '缺少时间，请写 at（例如 "09:00"）或 every_minutes（例如 10）'
    elif alert.at and alert.every_minutes is not None:
        yield ("every_minutes",), "和 at 只能写一个，请删去一处"


def _column_faults(alert: Alert) -> Iterator[Found]:
    for column in alert.columns:
        if not _COLUMN_NAME.fullmatch(column):
            yield ("columns", column), "名称要在模板里用，应以文字开头，只含文字、数字和下划线"
    uses: list[tuple[Location, str | None]] = [(("key", index), column) for index, column in enumerate(alert.key)]
    uses += [(("order_by",), alert.order_by), (("recipient_column",), alert.recipient_column)]
    for location, name in uses:
        if name is not None and name not in alert.columns:
            near = nearest(name, alert.columns)
            hint = f"，是否想写 {near}？" if near else f"，现有：{'、'.join(alert.columns)}"
            yield location, f"columns 里没有 {name!r}{hint}"


def _key_faults(alert: Alert) -> Iterator[Found]:
    if alert.key:
        return
    if alert.per == "row":
        yield ("key",), "按行发送（per: row）要写明用哪几列区分每一行，否则每次都会全部重发；请补上"
    elif alert.every_minutes is not None:
        yield ("key",), "没有 key 的表每次都会全部重发，只能用 at 定时；请改用 at，或补上 key"
    if alert.baseline:
        yield ("baseline",), "只对写了 key 的有用；请删去，或补上 key"


def _recipient_faults(alert: Alert, recipients: Container[str]) -> Iterator[Found]:
    """Whom a disabled alert would write to need not be known yet."""
    if alert.recipient is None and alert.recipient_column is None:
        yield ("recipient",), "缺少收件人，请写 recipient，或用 recipient_column 指明哪一列决定收件人"
    elif alert.recipient is not None and alert.recipient_column is not None:
        yield ("recipient_column",), "和 recipient 只能写一个，请删去一处"
    if alert.recipient_map is not None and alert.recipient_column is None:
        yield ("recipient_map",), "只和 recipient_column 一起用；请删去，或补上 recipient_column"
    if not alert.enabled:
        return
    named: list[tuple[tuple[PathPart, ...], str | None]] = [(("recipient",), alert.recipient)]
    named += [(("also", index), recipient) for index, recipient in enumerate(alert.also)]
    named += [(("recipient_map", value), recipient) for value, recipient in (alert.recipient_map or {}).items()]
    for location, recipient in named:
        if recipient is not None and recipient not in recipients:
            yield location, f"settings.yaml 的 recipients 里没有 {recipient!r}，请改正，或在那里加上"
    if alert.recipient_column is not None and OPERATIONS not in recipients:
        yield ("recipient_column",), f"找不到收件人的消息要发给 {OPERATIONS}，请在 settings.yaml 的 recipients 里加上它"
