"""Starts the dashboard's server, where that is safe: `main.py dashboard`."""

import errno
import getpass
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from modules.errors import JobRefusedError
from modules.settings import ROOT, Settings
from modules.system_words import reason_of
from streamlit_app.access import AccessError, SignIn, is_this_machine, password_hash, read_secrets, sign_in_of
from streamlit_app.place import place_of

SECRETS = (Path.home() / ".streamlit" / "secrets.toml", ROOT / ".streamlit" / "secrets.toml")
"""Where Streamlit looks for them; the later one is stronger."""

NOBODY = "http://127.0.0.1:9"
"""No server answers there: the demo's stand-in is gone, and the real Metabase knows nothing of the demo's contracts."""

DEMO_DIR = ROOT / "data" / "demo"
SHORTEST_PASSWORD = 10


def serve(settings: Settings, *, demo: bool, port: int | None) -> int:
    """Run the dashboard until it is stopped; its exit code. Raises JobRefusedError."""
    address = settings.dashboard.address
    require_safe(address, _sign_in())
    chosen = port or settings.dashboard.port
    require_free(address, chosen)
    command = [sys.executable, "-m", "streamlit_app.server", address, str(chosen)]
    environment = {**os.environ, **(demo_environment() if demo else {}), "PYTHONIOENCODING": "utf-8"}
    print("看板正在启动，要几秒钟…", file=sys.stderr, flush=True)
    return _run(command, environment)


def require_safe(address: str, sign_in: SignIn) -> None:
    """Raises JobRefusedError where others could come in without signing in."""
    if not is_this_machine(address) and not sign_in.is_required:
        raise JobRefusedError(
            f"看板要在 {address} 上开放，却没有设置登录，拒绝启动；"
            "请在 .streamlit/secrets.toml 里设置用户或公司账号登录（见 README），或把 dashboard.address 改回 127.0.0.1"
        )


def require_free(address: str, port: int) -> None:
    """Raises JobRefusedError where nothing can listen there; Streamlit would say so late, and in English.

    A name may stand for several addresses: one of them has to do, and none may be taken.
    """
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _no_place(address, port, error) from None
    troubles = [_trouble_at(family, place) for family, _, _, _, place in found]
    real = [trouble for trouble in troubles if trouble is not None]
    taken = [trouble for trouble in real if trouble.errno == errno.EADDRINUSE]
    if taken or len(real) == len(found):
        raise _no_place(address, port, [*taken, *real][0])


def _no_place(address: str, port: int, error: OSError) -> JobRefusedError:
    return JobRefusedError(
        f"看板启动不了：{place_of(address, port)} 用不了（{reason_of(error)}）；看板若已在运行，直接在浏览器里打开它；"
        "否则加 --port 换一个端口，或改设置里的 dashboard.address 和 dashboard.port"
    )


def _trouble_at(family: int, place: tuple[Any, ...]) -> OSError | None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if sys.platform != "win32":  # there it would let two programs listen at once
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen()
    except OSError as error:
        return error
    return None


def demo_environment() -> dict[str, str]:
    """What leads to the demo's data and to nothing else. Raises JobRefusedError where the demo has not been run."""
    database = DEMO_DIR / "tasks.db"
    if not database.exists():
        raise JobRefusedError(f"还没有演示数据（{database}）；请先运行 demo，再运行 dashboard --demo")
    return {
        "DATA_DIR": str(DEMO_DIR),
        "DATABASE_URL": f"sqlite:///{database.as_posix()}",
        "CAMPAIGNS_FILE": str(ROOT / "modules" / "config.py"),
        "METABASE_URL": NOBODY,
    }


def ask_for_hash() -> str:
    """The line for secrets.toml, after a person typed a password twice. Raises JobRefusedError."""
    password = getpass.getpass("新密码（输入时不显示）：")
    if len(password) < SHORTEST_PASSWORD:
        raise JobRefusedError(f"密码太短，至少 {SHORTEST_PASSWORD} 个字符")
    if getpass.getpass("再输一次：") != password:
        raise JobRefusedError("两次输入的密码不一样，请再运行一次")
    return f'password = "{password_hash(password)}"'


def _sign_in() -> SignIn:
    try:
        return sign_in_of(read_secrets(SECRETS))
    except AccessError as error:
        raise JobRefusedError(f"登录设置有错，看板拒绝启动：{error}") from None


def _run(command: list[str], environment: dict[str, str]) -> int:
    """In place of this process, or, on Windows, beside it: there Ctrl-C reaches both, so it is only waited out.

    From the root of the project, whose .streamlit/config.toml counts.
    """
    os.chdir(ROOT)
    if sys.platform != "win32":
        os.execve(command[0], command, environment)  # noqa: S606 - it gets the signals and gives the exit code
    child = subprocess.Popen(command, env=environment)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue
