"""Why a message was not sent. `desktop_chat` turns each into an outcome; the words are what the task shows."""


class RefusedError(Exception):
    """There is a doubt, and it may pass: nothing more is done. In Chinese: what was seen, and what to do."""


class KeysUncertainError(RefusedError):
    """The system stumbled while keys were being pressed: some may have arrived."""


class HopelessError(Exception):
    """No other try can help until a person changes something. In Chinese: what was seen, and what to do."""
