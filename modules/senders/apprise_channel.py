"""Other channels (e-mail, Feishu, DingTalk, …) through Apprise, which is installed only where somebody wants it.

Apprise says yes or no, and neither is proof. Yes means that the service took the message; whether it reached anybody is
not known, so what is sent is marked. No may be a refusal or a time-out after the message had left, and Apprise does not
tell which, so it is Unknown.

Apprise logs addresses, tokens and messages under names of its own; its logger is silenced here, and no text of it is
ever quoted.
"""

import logging
from typing import TYPE_CHECKING

from modules.recipients import RecipientSettings
from modules.senders.outcome import Failed, Outcome, Sender, Sent, Unknown

if TYPE_CHECKING:
    from apprise import NotifyBase

ACCEPTED = Sent("已受理，未确认送达")
SECONDS = 60.0
"""How long a message may take in all: half the lease, as shipped, of its task. `cto` and `rto` in the address set the
time-outs of connecting and reading, in seconds; where they are missing, both are 4."""

E_MAIL = "mailtos"


class AppriseChannel(Sender):
    """Sends to the channel that the recipient's `url` names."""

    def send(self, recipient: RecipientSettings, message: str) -> Outcome:
        """Hand `message` once to Apprise. Blocks for at most SECONDS."""
        service = _service(recipient)
        if isinstance(service, str):
            return Failed(f"{service}；处理后重发")
        if not message.strip():
            return Failed("消息内容为空；请检查消息模板")
        import apprise

        channel = apprise.Apprise()
        channel.add(service)
        subject = message.strip().splitlines()[0] if service.secure_protocol == E_MAIL else ""
        if channel.notify(message, title=subject, body_format=apprise.NotifyFormat.TEXT, timeout=SECONDS):
            return ACCEPTED
        return Unknown(f"Apprise 没能确认「{recipient.name}」已受理（拒收和超时它不区分）；请到对方那里核对是否已收到")


def trouble(recipient: RecipientSettings) -> str | None:
    """Why nothing can be sent to `recipient`, and what to do, in Chinese; None where nothing speaks against it."""
    service = _service(recipient)
    return service if isinstance(service, str) else None


def _service(recipient: RecipientSettings) -> "NotifyBase | str":
    """The service that the recipient's address names, or what is wrong."""
    url = recipient.url.get_secret_value()
    if not url:
        return f"{recipient.name} 的 url 未设置；请在 .env 里写上它的变量"
    try:
        import apprise
    except ImportError:
        return (
            "没有安装 Apprise；请在程序文件夹里运行 .venv\\Scripts\\python -m pip install -r requirements-extra.txt"
            "（Linux 用 .venv/bin/python），重启程序"
        )
    logging.getLogger("apprise").disabled = True  # each time: setting up the logs enables it again
    service = apprise.Apprise.instantiate(url)
    if service is None:
        return f"{recipient.name} 的 url 不是 Apprise 认识的地址，或还缺少它要的软件包；请按 Apprise 的说明检查"
    if service.optional or service.retry:
        return f"{recipient.name} 的 url 里请去掉 optional 和 retry：前者把失败说成成功，后者会重复发送"
    return service
