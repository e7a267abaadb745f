"""The launcher and the scripts: a copy of them with a tiny program, real environments, no network. POSIX only."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import launcher
from tests import checks

ROOT = Path(__file__).resolve().parent.parent

CREATING = "正在创建 Python 环境"
INSTALLING = "正在安装依赖包"

TINY_MAIN = """
import os, signal, sys

def stop(number, frame):
    print("stopped", flush=True)
    sys.exit(7)

if sys.argv[1:] == ["wait"]:
    signal.signal(signal.SIGTERM, stop)
    print("waiting", flush=True)
    signal.pause()
if sys.argv[1:2] == ["exit"]:
    sys.exit(int(sys.argv[2]))
print("ran", *sys.argv[1:], "in", os.getcwd(), "utf8", sys.flags.utf8_mode, "venv", sys.prefix)
"""


class Project:
    """A folder with the launcher, a tiny main.py and no requirements; its name has a space and Chinese."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ".venv/bin/python"
        self.stamp = folder / ".venv/installed-requirements.txt"
        folder.mkdir()
        for name in ("launcher.py", "start.sh", "run_streamlit.sh", "test.sh"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "main.py").write_text(TINY_MAIN, encoding="utf-8")
        self.require("# nothing")

    def require(self, line: str) -> None:
        (self.folder / "requirements.txt").write_text(f"{line}\n", encoding="utf-8")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(self.folder / "launcher.py"), "run", *arguments],
            env=without_pip_settings() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, *arguments: str, **environment: str) -> Result:
        return Result(self.start(*arguments, **environment))


class Result:
    """What a launch came to, once it has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.stdout, self.stderr = process.communicate(timeout=120)
        self.code = process.returncode


def without_pip_settings() -> dict[str, str]:
    """This environment, but pip knows nothing of this machine's package sources."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return kept | {"PIP_CONFIG_FILE": os.devnull}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for the whole file: making an environment takes seconds."""
    project = Project(tmp_path_factory.mktemp("launcher") / "项目 一号")
    first = project.run("hello")
    assert first.code == 0, first.stderr
    assert CREATING in first.stderr
    assert INSTALLING in first.stderr
    return project


@pytest.fixture
def project(made: Project) -> Project:
    """The project with its environment ready, whatever the test before did to it."""
    made.require("# nothing")
    assert made.run().code == 0
    return made


class TestEnvironment:
    def test_nothing_to_do_says_and_does_nothing(self, project: Project) -> None:
        before = project.stamp.stat().st_mtime_ns
        again = project.run("hello")
        assert (again.code, again.stderr) == (0, "")
        assert project.stamp.stat().st_mtime_ns == before

    def test_changed_requirements_are_installed_once(self, project: Project) -> None:
        project.require("# nothing, in other words")
        assert INSTALLING in project.run().stderr
        assert project.run().stderr == ""

    def test_interrupted_install_is_repeated(self, project: Project) -> None:
        project.stamp.unlink()
        again = project.run()
        assert INSTALLING in again.stderr
        assert CREATING not in again.stderr

    def test_gone_base_python_makes_the_environment_new(self, project: Project) -> None:
        project.python.unlink()
        project.python.symlink_to("/nonexistent/python3")
        again = project.run("hello")
        assert CREATING in again.stderr
        assert (again.code, again.stdout[:9]) == (0, "ran hello")

    def test_interrupted_creation_is_repeated(self, project: Project) -> None:
        for pip in project.folder.glob(".venv/lib/*/site-packages/pip"):
            shutil.rmtree(pip)
        again = project.run()
        assert CREATING in again.stderr
        assert again.code == 0

    def test_two_launches_at_once_take_turns(self, project: Project) -> None:
        project.require("# nothing, for two")
        both = [project.start("one"), project.start("two")]
        one, two = (Result(process) for process in both)
        assert (one.code, two.code) == (0, 0)
        assert (one.stderr + two.stderr).count(INSTALLING) == 1

    def test_environment_of_the_checks_serves_the_program_but_not_the_reverse(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "requirements.txt").touch()
        (tmp_path / "requirements-extra.txt").touch()
        (tmp_path / "requirements-dev.txt").touch()
        monkeypatch.setattr(launcher, "ROOT", tmp_path)
        monkeypatch.setattr(launcher, "STAMP", tmp_path / "stamp")
        monkeypatch.setattr(launcher, "VENV_PYTHON", Path(sys.executable))

        launcher.STAMP.write_text("\n".join(launcher.fingerprints(launcher.REQUIREMENTS["test"])))
        assert launcher.is_ready(launcher.REQUIREMENTS["run"])

        launcher.STAMP.write_text("\n".join(launcher.fingerprints(launcher.REQUIREMENTS["run"])))
        assert not launcher.is_ready(launcher.REQUIREMENTS["test"])


class TestProgram:
    def test_runs_in_the_environment_with_its_arguments(self, project: Project) -> None:
        result = project.run("a b", "汉字")
        assert result.stdout.strip() == (f"ran a b 汉字 in {Path.cwd()} utf8 1 venv {project.folder / '.venv'}")

    def test_exit_code_comes_through(self, project: Project) -> None:
        assert project.run("exit", "3").code == 3

    def test_sigterm_reaches_the_program(self, project: Project) -> None:
        process = project.start("wait")
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGTERM)
        result = Result(process)
        assert (result.code, result.stdout) == (7, "stopped\n")

    def test_ctrl_c_on_windows_is_waited_out(self) -> None:
        """The console tells the child, too; it ends by itself and its exit code counts."""
        child = "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(0.5); os._exit(5)"
        waiting = f"import launcher, sys; sys.exit(launcher.wait_for([sys.executable, '-c', {child!r}]))"
        assert subprocess.run([sys.executable, "-c", waiting], cwd=ROOT, check=False).returncode == 5


class TestFailures:
    def test_old_python_says_what_is_needed(self, project: Project, tmp_path: Path) -> None:
        source = (ROOT / "launcher.py").read_text(encoding="utf-8")
        later = tmp_path / "launcher.py"
        later.write_text(source.replace("MINIMUM_PYTHON = (3, 11)", "MINIMUM_PYTHON = (4, 2)"), encoding="utf-8")
        result = subprocess.run([sys.executable, str(later), "run"], capture_output=True, encoding="utf-8", check=False)
        assert result.returncode == 2
        assert "需要 Python 4.2 或更高版本" in result.stderr
        assert result.stderr.count("\n") == 1
        assert not (tmp_path / ".venv").exists()

    def test_old_python_can_read_the_launcher(self) -> None:
        ast.parse((ROOT / "launcher.py").read_text(encoding="utf-8"), feature_version=(3, 8))

    def test_no_network_is_said_in_one_line_and_tried_again(self, project: Project) -> None:
        project.require("a-package-that-is-not-there==1")
        offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
        for _ in range(2):
            result = project.run(**offline)
            assert result.code == 2
            assert "连不上软件源，请检查网络" in result.stderr.splitlines()[-1]
            assert result.stdout == ""

    @pytest.mark.parametrize("arguments", [[], ["walk"]])
    def test_unknown_command_tells_the_use(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert launcher.main(arguments) == 2
        assert "用法是" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("output", "remedy"),
        [
            (
                "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
                "磁盘空间不足",
            ),
            (str(PermissionError(13, "Permission denied", ".venv.lock")), "权限"),
            ("OSError: [WinError 5] 拒绝访问。: 'C:\\\\x\\\\_regex.pyd'", "关闭正在运行的程序"),
            (
                "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No match",
                "连不上软件源",
            ),
            (
                "Collecting\nERROR: Invalid requirement: 'x y'\n\n",
                "原因是“ERROR: Invalid requirement: 'x y'”，请联系维护人员",
            ),
            ("ERROR: Could not find a version\nERROR: No matching distribution found for x==9", "换一个软件源"),
            ("", "原因是“没有说明”"),
        ],
    )
    def test_remedy(self, output: str, remedy: str) -> None:
        assert remedy in launcher.remedy_for(output)


class TestScripts:
    def test_start_works_from_any_folder(self, project: Project, tmp_path: Path) -> None:
        result = subprocess.run(
            [str(project.folder / "start.sh"), "a b", "汉字"],
            cwd=tmp_path,
            env=without_pip_settings(),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(f"ran a b 汉字 in {tmp_path} ")

    def test_run_streamlit_starts_the_dashboard(self, project: Project, tmp_path: Path) -> None:
        result = subprocess.run(
            [str(project.folder / "run_streamlit.sh"), "--demo"],
            cwd=tmp_path,
            env=without_pip_settings(),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith("ran dashboard --demo in ")

    @pytest.mark.parametrize(("script", "command"), [("start.sh", "run"), ("test.sh", "test")])
    def test_a_python_that_does_not_run_is_passed_over(self, script: str, command: str, tmp_path: Path) -> None:
        write_script(tmp_path / "python3.13", "echo shim: not installed >&2; exit 127")
        write_script(tmp_path / "python3.12", f'[ "$1" = -c ] && exit 0; echo {command}: "$@"; exit 4')
        result = run_script(script, path=tmp_path)
        assert result.returncode == 4
        assert result.stdout == f"{command}: {ROOT / 'launcher.py'} {command} x\n"

    def test_no_python_says_what_to_do(self, tmp_path: Path) -> None:
        result = run_script("start.sh", path=tmp_path)
        assert result.returncode == 2
        assert result.stderr.startswith("启动失败：没有找到 Python 3.11 或更高版本")


def write_script(file: Path, body: str) -> None:
    file.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    file.chmod(0o755)


def run_script(name: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a script that finds nothing but dirname and the folder's programs on its PATH."""
    (path / "dirname").symlink_to(shutil.which("dirname") or "/usr/bin/dirname")
    return subprocess.run(
        [str(ROOT / name), "x"], env={"PATH": str(path)}, capture_output=True, encoding="utf-8", check=False
    )


class TestChecks:
    def test_first_failure_ends_them_and_is_named(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(checks, "CHECKS", {"good": ["pip", "--version"], "bad": ["nothing_here"], "later": []})
        monkeypatch.setattr(checks, "SYSTEM_PACKAGES", ())
        assert checks.main([]) == 1
        said = capfd.readouterr().err
        assert "检查未通过：bad" in said
        assert "== later" not in said

    @pytest.mark.parametrize("workers", ["0", "1"])
    @pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
    def test_skipped_test_fails_in_ci_only(self, workers: str, ci: str, code: int, tmp_path: Path) -> None:
        shutil.copy(ROOT / "tests/conftest.py", tmp_path)
        (tmp_path / "test_some.py").write_text(
            "import pytest\n"
            "def test_skipped(): pytest.skip('no chromium')\n"
            "@pytest.mark.xfail\n"
            "def test_known_fault(): assert False\n",
            encoding="utf-8",
        )
        result = run_pytest(tmp_path, workers, ci)
        assert result.returncode == code, result.stdout
        outcome = "1 failed, 1 xfailed" if ci else "1 skipped, 1 xfailed"
        assert outcome in result.stdout.splitlines()[-1]

    def test_file_that_skips_itself_fails_in_ci(self, tmp_path: Path) -> None:
        shutil.copy(ROOT / "tests/conftest.py", tmp_path)
        (tmp_path / "test_some.py").write_text("import pytest\npytest.importorskip('nothing_here')\n")
        assert run_pytest(tmp_path, "0", "true").returncode == 2
        assert run_pytest(tmp_path, "0", "").returncode == 5


def run_pytest(folder: Path, workers: str, ci: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n", workers, str(folder)],
        cwd=folder,
        env=kept | {"CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian made of scripts: `apt-get` writes down what it is told, `dpkg-query` knows of openbox alone."""
    write_script(tmp_path / "dpkg-query", "echo openbox installed; echo xclip not-installed; exit 1")
    write_script(tmp_path / "apt-get", f'echo "$@" >>{tmp_path}/told; echo E: no network; exit "${{APT_FAILS:-0}}"')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(checks, "SYSTEM_PACKAGES", ("openbox", "xclip", "xvfb"))
    return tmp_path


class TestSystemPackages:
    def test_what_is_missing_is_installed(self, debian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        checks.prepare_system()
        told = (debian / "told").read_text().splitlines()
        assert [line.partition("Timeout=300 ")[2] for line in told] == [
            "update",
            "install -y --no-install-recommends xclip xvfb",
        ]

    def test_nothing_missing_says_and_does_nothing(
        self, debian: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(checks, "SYSTEM_PACKAGES", ("openbox",))
        checks.prepare_system()
        assert capsys.readouterr().err == ""
        assert not (debian / "told").exists()

    def test_who_may_not_install_is_told_what(
        self, debian: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        checks.prepare_system()
        assert "请先运行 sudo apt-get install xclip xvfb" in capsys.readouterr().err
        assert not (debian / "told").exists()

    def test_a_failed_install_is_said(
        self, debian: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setenv("APT_FAILS", "100")
        checks.prepare_system()
        said = capsys.readouterr().err
        assert "E: no network" in said
        assert "系统软件包没有装上" in said
        assert (debian / "told").read_text().count("\n") == 1

    def test_another_system_is_told_what_is_needed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        checks.prepare_system()
        assert "请自行安装与这些软件包相当的软件" in capsys.readouterr().err
