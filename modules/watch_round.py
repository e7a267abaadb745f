"""The watch: once a minute the daemon looks what is wrong, and operations hear of what has begun and what is over."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from modules.application import Application
from modules.recipients import OPERATIONS
from modules.troubles import Eyes, is_news, settle, take_turn
from modules.watch import Trouble, house_troubles, machine_troubles
from modules.watch_facts import machine_name, read_house, read_machine

HOUSE = Eyes("house", OPERATIONS)
"""What the database says is the same for all daemons that share it: one of them tells."""


def watch_once(app: Application, now: datetime) -> dict[str, int]:
    """One look; returns how many troubles were begun, reminded of and ended."""
    machine = Eyes(f"machine:{machine_name(app.settings)}", OPERATIONS)
    of_machine = machine_troubles(read_machine(app))

    def looked(connection: Connection) -> Sequence[tuple[Eyes, list[Trouble]]]:
        house = read_house(connection, app, now)
        return (HOUSE, house_troubles(house, app.settings.recipients, now)), (machine, of_machine)

    with app.database.reading() as connection:  # needs no lock, and mostly there is nothing new
        if not any(is_news(connection, eyes, found, now) for eyes, found in looked(connection)):
            return {"begun": 0, "reminded": 0, "ended": 0}
    with app.database.writing() as connection:
        take_turn(connection)
        told = [settle(connection, app.settings, eyes, found, now).counts() for eyes, found in looked(connection)]
    return {name: sum(counts[name] for counts in told) for name in ("begun", "reminded", "ended")}
