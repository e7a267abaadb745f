"""The checks behind ./test.sh: what the system needs for them, then ruff, mypy and pytest. `launcher.py test` runs it
with .venv's Python, in the folder that it was called from.

    python tests/checks.py ARGS…     ARGS go to pytest; --quick leaves out the slow tests

The exit code is that of the first check that fails.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CHECKS = {
    "ruff check": ["ruff", "check"],
    "ruff format": ["ruff", "format", "--check"],
    "mypy": ["mypy"],
}

SYSTEM_PACKAGES = (
    "postgresql",
    # a display with a window manager and a clipboard, for the desktop sender
    "openbox",
    "x11-xserver-utils",
    "xclip",
    "xvfb",
    # what PySide6's windows need of X
    "libdbus-1-3",
    "libegl1",
    "libfontconfig1",
    "libgl1",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxkbcommon-x11-0",
    # a browser and its fonts, for the dashboard
    "chromium",
    "fonts-noto-cjk",
    "fonts-noto-color-emoji",
)
"""Debian's names of what the tests use and pip does not bring."""

APT_GET = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")


def main(arguments: Sequence[str]) -> int:
    """Run everything; the exit code."""
    os.chdir(ROOT)
    prepare_system()
    for name, check in CHECKS.items():
        say(f"== {name}")
        code = subprocess.run([sys.executable, "-m", *check], check=False).returncode
        if code != 0:
            say(f"检查未通过：{name}")
            return code
    say("== pytest")
    selection = ["-m", "not slow"] if "--quick" in arguments else []
    rest = [argument for argument in arguments if argument != "--quick"]
    command = [sys.executable, "-m", "pytest", "-n", "auto", *selection, *rest]
    if sys.platform == "win32":
        return subprocess.run(command, check=False).returncode
    os.execv(command[0], command)  # noqa: S606 - it gets the signals and gives the exit code


def prepare_system() -> None:
    """Install the system packages that are missing, or say what a person is to install.

    Whatever comes of it, the checks go on: a test that misses something fails and says what.
    """
    if not shutil.which("dpkg-query") or not shutil.which("apt-get"):
        say(f"这不是 Debian 系统，请自行安装与这些软件包相当的软件，否则部分测试会失败：{' '.join(SYSTEM_PACKAGES)}")
        return
    missing = missing_packages(SYSTEM_PACKAGES)
    if not missing:
        return
    if sys.platform == "win32" or os.geteuid() != 0:
        say(f"缺少系统软件包，部分测试会失败，请先运行 sudo apt-get install {' '.join(missing)}")
        return
    say(f"正在安装系统软件包 {' '.join(missing)}……")
    if not (apt_get("update") and apt_get("install", "-y", "--no-install-recommends", *missing)):
        say("系统软件包没有装上，部分测试会失败；请检查网络和软件源，再运行一次")


def missing_packages(names: Sequence[str]) -> list[str]:
    """Those that are not installed."""
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
    known = subprocess.run(query, capture_output=True, encoding="utf-8", check=False).stdout.splitlines()
    return [name for name in names if f"{name} installed" not in known]


def apt_get(*arguments: str) -> bool:
    """Whether it succeeded; where not, with the end of what it said."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    result = subprocess.run(
        [*APT_GET, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if result.returncode != 0:
        say(result.stdout.strip().rpartition("\n")[2])
    return result.returncode == 0


def say(line: str) -> None:
    """Tell the person at the console."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
