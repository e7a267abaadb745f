"""Who can be written to, as settings say it: the chat, the sender that reaches it, and what that sender needs."""

import re
from datetime import time
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from modules.settings_section import Section

SenderName = Literal["wecom_robot", "desktop_wecom", "desktop_wechat", "console", "apprise"]
MessageFormat = Literal["text", "markdown"]

OPERATIONS = "ops"
"""The recipient that hears of what operations should mend."""

MOBILE_PATTERN = r"^(1[0-9]{10}|\+[0-9]{6,15}|@all)$"
"""A mobile number of mainland China, one with its country code, or everybody."""

APP_TITLES = frozenset({"微信", "企业微信", "wechat", "weixin", "wxwork"})
"""How the main windows of the apps are called: whichever chat is open there, it is not a chat's own window."""

ONLY_FOR: dict[str, SenderName] = {"format": "wecom_robot", "mentioned_mobiles": "wecom_robot", "url": "apprise"}
"""Which sender a field belongs to; with another one it would be silently without effect."""

WECOM_ADDRESS = re.compile(r"^\s*wecombot:|//qyapi\.weixin\.qq\.com/", re.IGNORECASE)

TOKEN = re.compile(r"(?=.*[0-9])[^.]{8,}")
"""How a piece of an address looks that may be a token."""


def _hours(text: str) -> tuple[time, time]:
    first, _, last = text.partition("-")
    return time.fromisoformat(first.strip()), time.fromisoformat(last.strip())


def _checked_hours(text: str) -> str:
    try:
        is_span = not text or len(set(_hours(text))) == 2
    except ValueError:
        is_span = False
    if not is_span:
        raise ValueError(f"{text} 读不懂，应像 22:00-08:00；不用免打扰就留空")
    return text


class RecipientSettings(Section):
    """Somebody who can be written to: a chat name, the sender that reaches it, and what that sender needs.

    `key` is a robot's; `format` and `mentioned_mobiles` say how a robot writes (mentions are WeCom's, in text only);
    `url` is the address of a channel of Apprise, with the passwords or tokens in it. In `quiet_hours`
    (`22:00-08:00`, Asia/Shanghai, from the first minute up to, not with, the last) messages wait.
    """

    name: str = Field(min_length=1)
    sender: SenderName
    key: SecretStr = SecretStr("")
    format: MessageFormat = "text"
    mentioned_mobiles: tuple[Annotated[str, StringConstraints(pattern=MOBILE_PATTERN)], ...] = ()
    url: SecretStr = SecretStr("")
    quiet_hours: Annotated[str, AfterValidator(_checked_hours)] = ""

    @field_validator(*ONLY_FOR)
    @classmethod
    def _belongs_to_the_sender(cls, value: object, info: ValidationInfo) -> object:
        owner, sender = ONLY_FOR[info.field_name or ""], info.data.get("sender", "")
        if sender and sender != owner:
            raise ValueError(f"只用于 sender: {owner}，这里是 {sender}；请删去这一项")
        return value

    @field_validator("sender")
    @classmethod
    def _no_main_window(cls, value: SenderName, info: ValidationInfo) -> SenderName:
        if value.startswith("desktop_") and is_app_title(info.data.get("name", "")):
            raise ValueError("name 是聊天软件主窗口的标题，不是会话名称；请写会话的名称")
        return value

    @field_validator("mentioned_mobiles")
    @classmethod
    def _only_in_text(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("format") == "markdown":
            raise ValueError("企业微信只在 text 消息里提醒人；请删去这一项，或把 format 改为 text")
        return value

    @field_validator("url")
    @classmethod
    def _no_wecom(cls, value: SecretStr) -> SecretStr:
        if WECOM_ADDRESS.search(value.get_secret_value()):
            raise ValueError("企业微信机器人请改用 sender: wecom_robot 和 key：经 Apprise 发送时，被拒收也会显示成功")
        return value

    def is_quiet(self, at: time) -> bool:
        """Whether messages wait at this time of day."""
        if not self.quiet_hours:
            return False
        first, last = _hours(self.quiet_hours)
        at = at.replace(tzinfo=None)
        return first <= at < last if first < last else at >= first or at < last

    @property
    def quiet_end(self) -> time | None:
        """The time of day when quiet hours end; None where there are none."""
        return _hours(self.quiet_hours)[1] if self.quiet_hours else None

    def secrets(self) -> list[str]:
        """The secret texts of this recipient. Of an address also the pieces that may be secret: programs log them."""
        url = self.url.get_secret_value()
        return [text for text in (self.key.get_secret_value(), url, *_secret_pieces(url)) if text]


def is_app_title(name: str) -> bool:
    """Whether a chat of this name can't be told from the main window of its app."""
    return name.strip().casefold() in APP_TITLES


def _secret_pieces(url: str) -> list[str]:
    """The password of `user:password@host`, and whatever may be a token: long, with digits, and no host name."""
    rest = url.partition("://")[2]
    password = re.split(r"[/?]", rest)[0].rpartition("@")[0].partition(":")[2]
    pieces = [piece.rpartition("=")[2] for piece in re.split(r"[/?&:@]", rest)]
    return [password, *(piece for piece in pieces if TOKEN.fullmatch(piece))]
