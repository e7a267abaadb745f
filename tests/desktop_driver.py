"""The desktop sender in a process of its own, as PyAutoGUI binds the display while it is imported.

    python tests/desktop_driver.py '{"settings": {…}, "screens": "…/screens"}'

One JSON line on stdin, `[chat, message]` → one on stdout, `[outcome, reason]`.
"""

import json
import sys
from pathlib import Path

from modules.senders.desktop.lock import DesktopLock
from modules.senders.desktop_chat import DesktopChat
from modules.settings import DesktopSettings, RecipientSettings


def main(arguments: dict[str, object]) -> None:
    settings = DesktopSettings.model_validate(arguments["settings"])
    sender = DesktopChat(settings.wecom, settings, DesktopLock(), Path(str(arguments["screens"])))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        chat, message = json.loads(line)
        outcome = sender.send(RecipientSettings(name=chat, sender="desktop_wecom"), message)
        print(json.dumps([type(outcome).__name__, getattr(outcome, "reason", "")]), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
