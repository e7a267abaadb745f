"""The desktop sender in a process of its own, as PyAutoGUI binds the display while it is imported.

    python tests/desktop_driver.py SCREENS_FOLDER

One JSON line on stdin, `[settings, chat, message, refusal]` → one on stdout, `[outcome, reason]`. A `refusal` is what
keeps the message from leaving in the last moment.
"""

import json
import sys
from pathlib import Path

from modules.desktop_settings import DesktopSettings
from modules.recipients import RecipientSettings
from modules.senders.desktop.lock import DesktopLock
from modules.senders.desktop_chat import DesktopChat
from modules.senders.outcome import LeavingRefusedError


def main(screens: Path) -> None:
    lock = DesktopLock()
    for line in sys.stdin:
        values, chat, message, refusal = json.loads(line)

        def leave(refusal: str = refusal) -> None:
            if refusal:
                raise LeavingRefusedError(refusal)

        settings = DesktopSettings.model_validate(values)
        sender = DesktopChat(settings.wecom, settings, lock, screens)
        outcome = sender.send(RecipientSettings(name=chat, sender="desktop_wecom"), message, leave)
        print(json.dumps([type(outcome).__name__, getattr(outcome, "reason", "")]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
