"""Who may see the dashboard and who may act: pure, but for the hashes. Knows nothing of Streamlit.

Without sign-in the dashboard is for whoever sits at this machine, with the rights of the command line there. With
sign-in everybody has a role: a viewer sees, an operator acts on the queue.
"""

import getpass
import hashlib
import threading
import tomllib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import Field, ValidationError, field_validator

from modules.rewards.faults import Fault, FaultsError, faults_of, join_path
from modules.settings_section import Section
from streamlit_app.oidc import Provider, providers_of

Role = Literal["viewer", "operator"]

FREE_TRIES = 2
LONGEST_DELAY = timedelta(minutes=5)
REMEMBERED_NAMES = 1000

CHECKED_AT_ONCE = 2
"""Checking a password takes 64 MiB and four threads for about a tenth of a second."""
LONGEST_QUEUE = 20
"""How many may wait for their check: an office that comes in at nine. The last of them waits a second or two."""

_HASHER = PasswordHasher()
_NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"
"""What an unknown name is checked against, so that it takes as long as a known one. No password has it."""


class AccessError(FaultsError):
    """The sign-in settings can't be used; the message lists every fault with its place and remedy."""


class CrowdedError(Exception):
    """So many are signing in that a try was not looked at, and does not count."""


@dataclass(frozen=True)
class Viewer:
    """Whoever sits before the page. `who` goes into the audit log.

    `proof` stands for the password they came in with: it is another one once the password has changed.
    """

    name: str
    who: str
    role: Role
    proof: str = field(default="", repr=False)

    @property
    def may_act(self) -> bool:
        return self.role == "operator"


class NamedUser(Section):
    """A user of a small office; `password` is an argon2 hash (`dashboard --hash-password`)."""

    name: str = ""
    password: str = Field(repr=False)
    role: Role = "viewer"

    @field_validator("password")
    @classmethod
    def _is_hash(cls, value: str) -> str:
        if not value.startswith("$argon2id$"):
            raise ValueError("应是 argon2 哈希，不是密码本身；请用 start dashboard --hash-password 生成")
        return value


class Access(Section):
    """The section `[dashboard]` of secrets.toml: named users by login, and roles by e-mail for OIDC.

    With a provider that serves many companies anybody can have an account with somebody else's address: an address
    counts where the provider vouches for it (`email_verified`). Some never say; whoever runs the dashboard may take
    their silence for good.
    """

    users: Mapping[str, NamedUser] = Field(default_factory=dict)
    emails: Mapping[str, Role] = Field(default_factory=dict)
    allow_missing_email_verified: bool = False

    def viewer_of(self, login: str) -> Viewer:
        """A named user; raises KeyError where there is none."""
        user = self.users[login]
        proof = hashlib.sha256(user.password.encode()).hexdigest()
        return Viewer(user.name or login, f"看板 {login}", user.role, proof)

    def knows(self, viewer: Viewer) -> bool:
        """Whether a named user who has signed in is still one, with the same name, role and password."""
        return any(self.viewer_of(login) == viewer for login in self.users)

    def is_vouched_for(self, claim: object) -> bool:
        """Whether `email_verified`, as a provider gives it (None: not at all), vouches for the address."""
        return claim in (True, "true") or (claim is None and self.allow_missing_email_verified)

    def role_of(self, email: str) -> Role | None:
        """The role of an e-mail address; None for a stranger."""
        return {known.casefold(): role for known, role in self.emails.items()}.get(email.strip().casefold())


@dataclass(frozen=True)
class SignIn:
    """How people sign in: by OIDC (`[auth]`), by name and password, or not at all."""

    access: Access
    providers: tuple[Provider, ...]

    @property
    def is_required(self) -> bool:
        return bool(self.providers or self.access.users)


def read_secrets(files: Iterable[Path]) -> dict[str, Any]:
    """The secrets.toml files that are there, a section of a later one in place of an earlier one's.

    Raises AccessError where one can't be read: Streamlit takes that for none, and the door would stand open.
    """
    merged: dict[str, Any] = {}
    for file in files:
        try:
            merged |= tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            words = " ".join(str(error).split())
            raise AccessError([Fault(str(file), f"读不懂（{words}）；请改正，或删去这个文件")]) from None
    return merged


def sign_in_of(secrets: Mapping[str, Any]) -> SignIn:
    """What secrets.toml says. Raises AccessError."""
    providers, faults = providers_of(secrets["auth"]) if "auth" in secrets else ((), [])
    access = Access()
    try:
        access = Access.model_validate(secrets.get("dashboard", {}))
    except ValidationError as error:
        faults += faults_of(error, Access, lambda location: f"secrets.toml: {join_path('dashboard', location)}")
    if faults:
        raise AccessError(faults)  # not from pydantic's own error, which shows the values
    return SignIn(access, providers)


def is_this_machine(address: str | None) -> bool:
    """Whether an address that a server listens on, or a host that it was asked for, is this machine only."""
    host = (address or "").strip().rstrip(".").strip("[]")
    if host.casefold() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """`127.0.0.1:8501` → `127.0.0.1`, `[::1]:8501` → `::1`."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def local_viewer() -> Viewer:
    """Whoever is logged on to this machine, as at the command line."""
    user = getpass.getuser()
    return Viewer(user, user, "operator")


def password_hash(password: str) -> str:
    """For secrets.toml."""
    return _HASHER.hash(password)


def is_password(stored: str, password: str) -> bool:
    """Whether the password has this hash."""
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


@dataclass
class Doorkeeper:
    """Checks names and passwords for one process; after wrong tries a name has to wait, twice as long each time.

    A name waits whether it exists or not. Not a secret of its own: what it keeps are names and times.

    Few are checked at once and few wait for it, first come, first served: whoever tries many names at many windows
    takes neither the memory nor the threads of the machine.
    """

    _tries: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    _noting: threading.Lock = field(default_factory=threading.Lock)
    _inside: int = 0
    _checking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(CHECKED_AT_ONCE, "sign-in"))

    def wait_of(self, login: str, now: datetime) -> timedelta:
        """How long this name has to wait; zero where it may try."""
        _, until = self._tries.get(_folded(login), (0, now))
        return max(until - now, timedelta())

    def admit(self, access: Access, login: str, password: str, now: datetime) -> Viewer | None:
        """The user, where name and password are right and the name need not wait.

        A try is noted before the password is looked at, and taken back where it is right: who tries at many windows at
        once gets no further than at one. Raises CrowdedError, and notes nothing, where too many wait already.
        """
        name = _folded(login)
        with self._noting:
            if self.wait_of(login, now):
                return None
            if self._inside >= CHECKED_AT_ONCE + LONGEST_QUEUE:
                raise CrowdedError
            self._inside += 1
            self._note_wrong(name, now)
        known = next((one for one in access.users if _folded(one) == name), None)
        if not self._check(access.users[known].password if known else _NOBODYS_HASH, password) or known is None:
            return None
        self._tries.pop(name, None)
        return access.viewer_of(known)

    def _check(self, stored: str, password: str) -> bool:
        """In its turn. Lets go of the place that the try took."""
        try:
            return self._checking.submit(is_password, stored, password).result()
        finally:
            with self._noting:
                self._inside -= 1

    def _note_wrong(self, name: str, now: datetime) -> None:
        wrong = self._tries.get(name, (0, now))[0] + 1
        seconds = 0 if wrong <= FREE_TRIES else 2 ** min(wrong - FREE_TRIES, 16)
        self._tries.pop(name, None)
        self._tries[name] = (wrong, now + min(timedelta(seconds=seconds), LONGEST_DELAY))
        while len(self._tries) > REMEMBERED_NAMES:  # whoever makes up names forgets only the oldest of them
            self._tries.pop(next(iter(self._tries)))


def _folded(login: str) -> str:
    return login.strip().casefold()
