"""Why a message was not sent. `desktop_chat` turns each into an outcome; the words are what the task shows."""


class RefusedError(Exception):
    """There is a doubt, and it may pass: nothing more is done. In Chinese: what was seen, and what to do."""


class KeysUncertainError(RefusedError):
    """The system stumbled while keys were being pressed: some may have arrived."""


class BlockedError(RefusedError):
    """It is the machine that can't send now, whatever the message is: nobody's desktop, a locked one, or a busy one."""
