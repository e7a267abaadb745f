"""Messages on stdout, for development: nothing leaves the machine."""

import rich.console

from modules.recipients import RecipientSettings
from modules.senders.outcome import Outcome, Sender, Sent


class Console(Sender):
    """Prints each message under the name of its recipient, as it is: no markup, no emoji codes, no wrapping."""

    def __init__(self) -> None:
        self._out = rich.console.Console(markup=False, emoji=False, highlight=False, soft_wrap=True)

    def send(self, recipient: RecipientSettings, message: str) -> Outcome:
        """Print `message`; what stdout has taken counts as sent."""
        self._out.rule(recipient.name)
        self._out.print(message)
        return Sent()
