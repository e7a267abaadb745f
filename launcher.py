"""Makes the project's Python environment, .venv, keeps it up to date, and runs the program or its checks.

    python launcher.py run ARGS…     the program: main.py ARGS…
    python launcher.py test ARGS…    the checks: ruff, mypy, pytest ARGS…; --quick leaves out the slow tests

start.sh, start.bat and test.sh find a Python and call this file. It needs the standard library only, and
every Python from 3.8 on can read it, so that an old one can say what is missing.

Errors: one line in Chinese on stderr, exit code 2. Otherwise the exit code is that of what was run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MINIMUM_PYTHON = (3, 11)

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
LOCK = ROOT / ".venv.lock"
STAMP = VENV / "installed-requirements.txt"
PIP_LOG = VENV / "pip.log"

PROGRAMS = {"run": "main.py", "test": "tests/checks.py"}
REQUIREMENTS = {
    "run": ["requirements.txt"],
    "test": ["requirements.txt", "requirements-extra.txt", "requirements-dev.txt"],
}

# What the system or pip says → what a person can do. The first that matches counts.
REMEDIES = (
    (("[Errno 28]", "No space left", "[WinError 112]"), "磁盘空间不足，请清理磁盘后再启动一次"),
    (("[WinError 32]",), "文件被占用，请先关闭正在运行的程序，再启动一次"),
    (
        ("[Errno 13]", "Permission denied", "[WinError 5]", "[Errno 30]", "Read-only file system"),
        f"没有写入 {ROOT} 的权限，请先关闭正在运行的程序，或把文件夹移到有写权限的位置，再启动一次",
    ),
    (
        (
            "connection broken",
            "NewConnectionError",
            "Max retries exceeded",
            "ReadTimeout",
            "ProxyError",
            "IncompleteRead",
        ),
        "连不上软件源，请检查网络或代理（内网镜像用环境变量 PIP_INDEX_URL 指定），再启动一次",
    ),
    (
        ("No matching distribution found",),
        "软件源里没有所需的版本，请换一个软件源（环境变量 PIP_INDEX_URL），再启动一次",
    ),
)


class LaunchError(Exception):
    """Why the launch cannot go on, and what to do next: one line in Chinese."""


def main(arguments: Sequence[str]) -> int:
    """Launch what the arguments name; the exit code."""
    speak_utf8()
    try:
        return launch(arguments)
    except LaunchError as error:
        say(f"启动失败：{error}")
    except OSError as error:
        say(f"启动失败：{remedy_for(str(error))}")
    except KeyboardInterrupt:
        say("已中断，下次启动时会继续。")
        return 130
    return 2


def launch(arguments: Sequence[str]) -> int:
    """Prepare the environment for the command, the first argument, and run it with the others."""
    check_python(sys.version_info[:2])
    if not arguments or arguments[0] not in REQUIREMENTS:
        raise LaunchError("用法是 python launcher.py run …（运行程序）或 test …（运行检查）")
    command, *rest = arguments
    prepare_environment(REQUIREMENTS[command])
    return run_python([str(ROOT / PROGRAMS[command]), *rest])


def check_python(version: tuple[int, int]) -> None:
    """Raises LaunchError when this Python is too old for the program."""
    if version < MINIMUM_PYTHON:
        needed, found = (".".join(map(str, numbers)) for numbers in (MINIMUM_PYTHON, version))
        raise LaunchError(
            f"需要 Python {needed} 或更高版本，当前是 {found}，请从 https://www.python.org/downloads/ 安装新版后再启动"
        )


# The environment


def prepare_environment(requirement_files: Sequence[str]) -> None:
    """Create .venv and install the requirement files, as far as that is not done yet.

    The stamp goes before the first change and comes back after the last one, so that an interrupted
    preparation is done again.
    """
    if is_ready(requirement_files):
        return
    with one_at_a_time():
        if is_ready(requirement_files):  # another launch has done it meanwhile
            return
        STAMP.unlink(missing_ok=True)
        if not venv_works():
            create_venv()
        install(requirement_files)
        STAMP.write_text("\n".join(fingerprints(requirement_files)), encoding="utf-8")


def is_ready(requirement_files: Sequence[str]) -> bool:
    """Whether .venv works and has just what the requirement files ask for."""
    try:
        stamped = STAMP.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return set(fingerprints(requirement_files)) <= set(stamped) and venv_works()


def fingerprints(requirement_files: Sequence[str]) -> list[str]:
    """One line for each file, which changes with its content."""
    return [f"{hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}  {name}" for name in requirement_files]


def venv_works() -> bool:
    """Whether .venv has a Python that starts, is new enough and has pip.

    It has not when its creation was interrupted, or when the Python it was made from is gone or another one.
    """
    probe = f"import pip, sys; sys.exit(sys.version_info < {MINIMUM_PYTHON})"
    try:
        return run_quietly([str(VENV_PYTHON), "-c", probe]).returncode == 0
    except (FileNotFoundError, PermissionError):
        return False


def create_venv() -> None:
    """Make .venv anew; whatever was there goes. Raises LaunchError."""
    if importlib.util.find_spec("ensurepip") is None:
        raise LaunchError("这个 Python 缺少 venv 组件，请先安装，例如 sudo apt install python3-venv")
    say("正在创建 Python 环境（.venv），约需 10 秒到 1 分钟……")
    result = run_quietly([sys.executable, "-m", "venv", "--clear", str(VENV)])
    if result.returncode != 0:
        raise LaunchError(f"创建 Python 环境时出错：{remedy_for(result.stdout)}")


def install(requirement_files: Sequence[str]) -> None:
    """Install the requirement files into .venv, with all of pip's words in its log. Raises LaunchError."""
    say("正在安装依赖包（需要联网，通常 1 到 5 分钟，网络慢时更久）……")
    command = [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--no-input", "--log", str(PIP_LOG)]
    for name in requirement_files:
        command += ["-r", str(ROOT / name)]
    result = run_quietly(command)
    if result.returncode != 0:
        raise LaunchError(f"安装依赖包时出错：{remedy_for(result.stdout)}（详情见 {PIP_LOG}）")


def remedy_for(output: str) -> str:
    """What a person can do about this output of a failed command; where that is not known, quote its last line."""
    for signs, remedy in REMEDIES:
        if any(sign in output for sign in signs):
            return remedy
    last_line = output.strip().rpartition("\n")[2] or "没有说明"
    return f"原因是“{last_line}”，请联系维护人员"


# One launch at a time


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the lock file, after waiting for any other launch that holds it.

    The system frees the lock when its holders have ended, however they did. pip and venv inherit it on POSIX:
    should this process be killed, the next launch waits until they have ended too.
    """
    with LOCK.open("ab") as lock:
        if not try_lock(lock):
            say("另一个启动正在准备环境，等它完成……")
            while not try_lock(lock):
                time.sleep(0.5)
        os.set_inheritable(lock.fileno(), True)
        yield


def try_lock(file: IO[bytes]) -> bool:
    """Lock the file unless another process has; whether it is ours now."""
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


# Running


def run_python(arguments: Sequence[str]) -> int:
    """Run .venv's Python in place of this process, or, on Windows, wait for it; its exit code."""
    command = [str(VENV_PYTHON), *arguments]
    if sys.platform == "win32":
        return wait_for(command)
    os.execve(command[0], command, child_environment())  # noqa: S606 - it gets the signals and gives the exit code


def wait_for(command: Sequence[str]) -> int:
    """Run the command and wait until it has ended; its exit code.

    Ctrl-C reaches it from the console directly, so here it is only waited out.
    """
    child = subprocess.Popen(command, env=child_environment())
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


def run_quietly(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run the command without showing what it prints; stdout of the result holds all of it."""
    return subprocess.run(
        command,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        close_fds=False,  # the lock is to be inherited
        check=False,
    )


def child_environment() -> dict[str, str]:
    """This process's environment, with UTF-8 for files and pipes on Windows too.

    On Linux the C library keeps freed memory for each thread apart: with two such stores the daemon, all of whose runs
    have threads of their own, stays some 25 MB smaller.
    """
    return {"MALLOC_ARENA_MAX": "2", **os.environ, "PYTHONUTF8": "1"}


def speak_utf8() -> None:
    """Let Chinese through, whatever the console's or the pipe's encoding is."""
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="replace")


def say(line: str) -> None:
    """Tell the person at the console; stdout is for the program's own output."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
