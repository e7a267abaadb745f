"""One message into one chat's edit box, and out of it: sent, or taken back.

Until Enter, a doubt leads back to the box as it was found. After Enter only the box is believed.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from modules.desktop_settings import DesktopSettings
from modules.senders.desktop.edit_box import EditBox, is_ours
from modules.senders.desktop.errors import BlockedError, KeysUncertainError, RefusedError
from modules.senders.desktop.person import PersonWatch
from modules.senders.desktop.waiting import until
from modules.senders.outcome import Leave, LeavingRefusedError, NotNow, Outcome, Retry, Sent, Unknown

LEFT_BEHIND = "；输入框里可能还留着本条消息，下次发送前会先清掉，要用这个会话请先删去"
UNDONE_AT_MOST = 3
"""Pasting, the probe, and its deletion."""

GO_AND_SEE = "请到会话里核对是否已发出"


@dataclass(frozen=True)
class Delivery:
    """Of `message`, whose chat is in front. `leave` writes down that it leaves, just before Enter; `picture` takes a
    picture and names it, for the end of a reason."""

    message: str
    box: EditBox
    person: PersonWatch
    settings: DesktopSettings
    leave: Leave
    picture: Callable[[], str]

    def run(self) -> Outcome:
        """Raises RefusedError as long as nothing of ours is in the box."""
        self.box.require_empty(self.message, self.settings.empty_seconds)
        try:
            self._paste()
            self.person.require_quiet()
            self.leave()
        except (RefusedError, LeavingRefusedError) as refused:
            return self._refusal(refused)
        try:
            self.box.press_send()
        except KeysUncertainError as error:
            return Unknown(f"按发送键时{error}；{GO_AND_SEE}{self.picture()}")
        except RefusedError as refused:
            return self._refusal(refused)
        return self._after_enter()

    def _refusal(self, refused: RefusedError | LeavingRefusedError) -> Retry | NotNow:
        picture = self.picture()
        reason = f"{refused}{self._take_back()}{picture}"
        return NotNow(reason) if isinstance(refused, BlockedError) else Retry(reason)

    def _paste(self) -> None:
        """Raises RefusedError unless the box holds the message and nothing else."""
        self.box.paste(self.message, self.settings.readback_seconds)
        held: str | None = None

        def is_there() -> bool:
            nonlocal held
            held = self.box.read(self.settings.readback_seconds)
            return held == self.message

        if not until(is_there, self.settings.readback_seconds):
            raise RefusedError(
                f"粘贴后读回的文字和消息不一样（读回 {len(held or '')} 个字，应为 {len(self.message)} 个字）；"
                "请检查输入框里有没有别的内容"
            )
        self.box.deselect()

    def _take_back(self) -> str:
        """Remove what was pasted, as long as keys reach the box; in words what is left of it.

        The message alone is deleted. Behind a draft, or where the app has made something else of it, it was the last
        change, and that is undone. Where somebody has typed behind it, nothing is touched.
        """
        with suppress(RefusedError):
            held = self.box.read(self.settings.readback_seconds)
            if held is not None and is_ours(held, self.message):
                self.box.clear()
                held = self.box.read(self.settings.empty_seconds)
            had_draft = held is not None and held.endswith(self.message)
            if had_draft or (held is not None and self.message not in held):
                held = self._undo(held)
            if held is None:
                return ""
            self.box.deselect()
            if had_draft and self.message not in held:
                return "；输入框里原有的内容还在"
        return LEFT_BEHIND

    def _undo(self, held: str | None) -> str | None:
        """Take back changes until the message is gone; what the box holds then."""
        was_there = held is not None and self.message in held
        for _ in range(UNDONE_AT_MOST):
            if held is None or (was_there and self.message not in held):
                break
            self.box.undo()
            held = self.box.read(self.settings.empty_seconds)
        return held

    def _after_enter(self) -> Outcome:
        try:
            held = self._read_after_enter()
            if held is not None and self.message in held:
                picture = self.picture()
                left = self._take_back_unsent()
                return Retry(f"按了发送键，但消息还在输入框里，没有发出；请检查聊天软件的发送键设置{left}{picture}")
        except RefusedError as refused:
            return Unknown(f"已按发送键，随后{refused}；{GO_AND_SEE}{self.picture()}")
        if held is not None and held.isspace():
            return Sent()
        seen = "读不出输入框" if held is None else f"输入框里是别的内容（{len(held)} 个字）"
        return Unknown(f"已按发送键，随后{seen}；{GO_AND_SEE}{self.picture()}")

    def _read_after_enter(self) -> str | None:
        """The box, read until it is proven empty, blank for the probe, or time is up. Leaves no probe in an empty one,
        unless keys no longer reach it."""
        held: str | None = None

        def is_empty() -> bool:
            nonlocal held
            held = self.box.read(self.settings.confirm_seconds)
            return held is not None and held.isspace()

        self.box.probe()
        if until(is_empty, self.settings.confirm_seconds):
            with suppress(RefusedError):
                self.box.clear()
        return held

    def _take_back_unsent(self) -> str:
        with suppress(RefusedError):
            self.box.clear()
            if self.box.read(self.settings.empty_seconds) is None:
                return ""
        return LEFT_BEHIND
