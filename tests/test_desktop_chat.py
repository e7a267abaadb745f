"""The desktop sender against real windows on a real X display: sent exactly, or not at all, or openly unknown."""

import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from modules.desktop_settings import DesktopSettings
from modules.recipients import RecipientSettings
from modules.senders.desktop.delivery import Delivery
from modules.senders.desktop.edit_box import EditBox
from modules.senders.desktop.errors import KeysUncertainError
from modules.senders.desktop.lock import DesktopLock
from modules.senders.desktop.person import PersonWatch
from modules.senders.desktop_chat import DesktopChat
from modules.senders.outcome import Failed, Unknown
from modules.settings import ROOT
from tests.desktop_stage import MIDDLE, Driver, Stage, running, x_display
from tests.tools import already_left, wait_until

BEIJING, SHANGHAI, CHENGDU = "北京运营群", "上海运营群", "成都运营群"
GOOD_NEWS = "🧨 签约喜报\n恭喜 沈砚秋 签约合同 YHWX-00001！"
DRAFT = "稍等，我再看看"
HANGING_SECONDS = 40
ALL_OF_IT = "喜报🎉第𠮷单👨‍👩‍👧，距离达成还需 5 单，加油💪！\n"


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("desktop")
    with x_display(folder) as name:
        made = Stage(name, folder)
        yield made
        made.close()


@pytest.fixture(scope="module")
def driver(shared_stage: Stage) -> Iterator[Driver]:
    with shared_stage.driver() as made:
        yield made


@pytest.fixture
def stage(shared_stage: Stage) -> Stage:
    """The display, with the pointer where it hinders nobody, a text on the clipboard, and no pictures yet."""
    shared_stage.move_mouse(*MIDDLE)
    shared_stage.copy("别人复制的文字")
    shutil.rmtree(shared_stage.screens, ignore_errors=True)
    return shared_stage


class TestSent:
    @pytest.mark.parametrize(
        "message",
        [
            GOOD_NEWS,
            (ALL_OF_IT * 40)[:800],
            "一行\n\n\n隔两行的一行",
            "  前后的空格  ",
            "末尾换行\n",
            "=1+1\t'\"<b>&amp;</b> [微笑] http://127.0.0.1/?a=b",
        ],
        ids=["two lines", "800 characters", "empty lines", "blanks around", "newline at the end", "signs"],
    )
    def test_arrives_as_it_is_in_the_right_chat_alone(self, stage: Stage, driver: Driver, message: str) -> None:
        with stage.chats({"title": BEIJING}, {"title": SHANGHAI}) as chats:
            assert driver.send(BEIJING, message) == ("Sent", "")
            assert chats.sent() == [(BEIJING, message)]
            assert [chats.text(title) for title in (BEIJING, SHANGHAI)] == ["", ""]
        assert stage.clipboard() == "别人复制的文字"

    def test_windows_line_ends_become_plain_ones(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING}) as chats:
            assert driver.send(BEIJING, "一\r\n二") == ("Sent", "")
            assert chats.sent() == [(BEIJING, "一\n二")]

    def test_a_minimised_window_comes_back(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING}, {"title": SHANGHAI}) as chats:
            chats.ask({"minimize": BEIJING})
            assert driver.send(BEIJING, GOOD_NEWS) == ("Sent", "")
            assert chats.sent() == [(BEIJING, GOOD_NEWS)]

    def test_a_title_may_have_more_around_the_name(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": f"{BEIJING} - 聊天"}) as chats:
            sent = driver.send(BEIJING, GOOD_NEWS, wecom={"window_title": "{name} - 聊天"})
            assert sent == ("Sent", "")
            assert chats.sent() == [(f"{BEIJING} - 聊天", GOOD_NEWS)]

    def test_the_box_is_clicked_where_the_settings_say_so(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING, "focus": "messages"}) as chats:
            click = {"x": 0.5, "pixels_from_bottom": 90}
            assert driver.send(BEIJING, GOOD_NEWS, wecom={"box_click": click}, person_quiet_seconds=0.1)[0] == "Sent"
            assert chats.sent() == [(BEIJING, GOOD_NEWS)]

    def test_blanks_in_the_box_are_no_draft(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING, "draft": " "}) as chats:
            assert driver.send(BEIJING, GOOD_NEWS) == ("Sent", "")
            assert chats.sent() == [(BEIJING, GOOD_NEWS)]


class TestRefused:
    @pytest.mark.parametrize(
        ("windows", "seen", "to_do"),
        [
            ([], "没有找到会话“北京运营群”的独立窗口", "请把会话“北京运营群”拖出为独立窗口"),
            ([{"title": f"{BEIJING}2"}, {"title": f"新{BEIJING}"}], "没有找到会话", "拖出为独立窗口"),
            ([{"title": BEIJING}, {"title": BEIJING}], "有 2 个标题都是“北京运营群”的窗口", "请只留一个"),
            ([{"title": BEIJING, "draft": DRAFT}], "输入框里有未发出的内容（7 个字）", "请发出或删去草稿"),
            ([{"title": BEIJING, "picture": True}], "未发出的内容", "请发出或删去草稿"),
            ([{"title": BEIJING, "focus": "messages"}], "光标不在输入框", "点一下输入框"),
            ([{"title": BEIJING, "focus": "nowhere"}], "光标不在输入框", "请点一下会话的输入框"),
        ],
        ids=["no window", "other titles", "two", "draft", "picture", "focus in messages", "focus nowhere"],
    )
    def test_for_what_is_seen_before(
        self, stage: Stage, driver: Driver, windows: list[dict[str, Any]], seen: str, to_do: str
    ) -> None:
        with stage.chats(*windows, {"title": SHANGHAI}) as chats:
            before = [chats.text(window["title"]) for window in windows]
            outcome, reason = driver.send(BEIJING, GOOD_NEWS)
            assert outcome == "Retry"
            assert seen in reason
            assert to_do in reason
            assert chats.sent() == []
            assert [chats.text(window["title"]) for window in windows] == before
            assert chats.text(SHANGHAI).strip() == ""
        assert stage.clipboard() == "别人复制的文字"

    def test_for_a_window_of_another_program(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING}) as chats:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS, wecom={"process_names": ["WXWork.exe"]})
            assert outcome == "Retry"
            assert f"属于 {driver.settings['wecom']['process_names'][0]}，不是 WXWork.exe" in reason
            assert chats.sent() == []

    @pytest.mark.parametrize(
        ("happening", "answer", "seen", "left"),
        [
            ("steal", "Retry", "前台是别的窗口“别人的窗口”", GOOD_NEWS),
            ("rename", "Retry", "窗口变了：标题“北京运营群（已解散）”", GOOD_NEWS),
            ("mouse", "NotNow", "有人在用鼠标", ""),
            ("corner", "NotNow", "鼠标在屏幕角落", GOOD_NEWS),
            ("type", "Retry", "读回的文字和消息不一样", GOOD_NEWS + "稍等"),
            ("mangle", "Retry", "读回的文字和消息不一样", ""),
        ],
    )
    def test_for_what_happens_in_the_middle(
        self, stage: Stage, driver: Driver, happening: str, answer: str, seen: str, left: str
    ) -> None:
        """What was pasted is gone again, unless keys no longer reach the box or somebody has typed; then it is said."""
        with stage.chats({"title": BEIJING, "on_text": happening}, {"title": SHANGHAI}) as chats:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS, person_quiet_seconds=0.05)
            assert outcome == answer, reason
            assert seen in reason
            assert ("可能还留着本条消息" in reason) == bool(left)
            assert chats.sent() == []
            assert chats.text(BEIJING).rstrip(" ") == left
            assert chats.text(SHANGHAI).strip() == ""

    def test_for_a_task_that_is_somebody_elses_by_now(self, stage: Stage, driver: Driver) -> None:
        """The queue is asked in the last moment before Enter; what was pasted is gone again."""
        with stage.chats({"title": BEIJING}) as chats:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS, "这条任务已由别的进程接手")
            assert outcome == "Retry"
            assert reason.startswith("这条任务已由别的进程接手（截图")
            assert (chats.sent(), chats.text(BEIJING)) == ([], "")

    def test_for_a_window_that_closes_in_the_middle(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING, "on_text": "close"}, {"title": SHANGHAI}) as chats:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS)
            assert outcome == "Retry"
            assert "前台" in reason
            assert chats.sent() == []
            assert chats.text(SHANGHAI).strip() == ""

    def test_and_the_next_try_clears_what_was_left(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING, "on_text": "steal"}) as chats:
            assert driver.send(BEIJING, GOOD_NEWS)[0] == "Retry"
            assert driver.send(BEIJING, GOOD_NEWS) == ("Sent", "")
            assert chats.sent() == [(BEIJING, GOOD_NEWS)]

    def test_for_an_app_that_hangs_and_nothing_is_sent_when_it_wakes(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING}) as chats:
            chats.process.send_signal(signal.SIGSTOP)
            outcome, reason = driver.send(BEIJING, GOOD_NEWS, readback_seconds=1)
            chats.process.send_signal(signal.SIGCONT)
            assert (outcome, "没有反应" in reason) == ("Retry", True)
            chats.text(BEIJING)
            assert chats.sent() == []

    def test_for_a_draft_that_a_slow_app_shows_late(self, stage: Stage, driver: Driver) -> None:
        """The first look takes the box for empty. The read-back does not."""
        with stage.chats({"title": BEIJING, "draft": DRAFT}) as chats:
            chats.process.send_signal(signal.SIGSTOP)
            driver.begin(BEIJING, GOOD_NEWS, readback_seconds=5, empty_seconds=0.2)
            wait_until(lambda: stage.clipboard() == GOOD_NEWS)
            chats.process.send_signal(signal.SIGCONT)
            assert driver.answer()[0] == "Retry"
            assert chats.sent() == []
            assert chats.text(BEIJING) == DRAFT

    def test_for_a_draft_that_the_first_look_misses(self, stage: Stage, driver: Driver) -> None:
        """Pasting replaces nothing, and what stands before the message shows."""
        with stage.chats({"title": BEIJING, "draft": DRAFT, "deaf": True}) as chats:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS)
            assert (outcome, "输入框里原有的内容还在" in reason) == ("Retry", True)
            assert (chats.sent(), chats.text(BEIJING)) == ([], DRAFT)


class TestAfterEnter:
    def test_a_message_still_in_the_box_was_not_sent(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING, "on_enter": "newline"}) as chats:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS)
            assert outcome == "Retry"
            assert "消息还在输入框里，没有发出；请检查聊天软件的发送键设置" in reason
            assert (chats.sent(), chats.text(BEIJING)) == ([], "")

    @pytest.mark.parametrize(
        ("happening", "was_sent"), [("close", True), ("steal", True), ("refill", True), ("vanish", False)]
    )
    def test_what_the_box_does_not_tell_is_unknown(
        self, stage: Stage, driver: Driver, happening: str, was_sent: bool
    ) -> None:
        with stage.chats({"title": BEIJING, "on_enter": happening}, {"title": SHANGHAI}) as chats:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS)
            assert outcome == "Unknown"
            assert "请到会话里核对是否已发出" in reason
            assert chats.sent() == [(BEIJING, GOOD_NEWS)] * was_sent
            assert chats.text(SHANGHAI).strip() == ""

    def test_a_send_key_that_may_have_been_pressed_is_unknown(self) -> None:
        """The system stumbles in the very moment of Enter, which no window here can be made to do."""
        box, person = MagicMock(spec=EditBox), MagicMock(spec=PersonWatch)
        box.read.return_value = GOOD_NEWS
        box.press_send.side_effect = KeysUncertainError("操作桌面时出错")
        outcome = Delivery(GOOD_NEWS, box, person, DesktopSettings(), already_left, lambda: "（截图 1.png）").run()
        assert outcome == Unknown("按发送键时操作桌面时出错；请到会话里核对是否已发出（截图 1.png）")


class TestPerson:
    def test_at_the_mouse_goes_first(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING}) as chats, stage.person_at_the_mouse():
            outcome, reason = driver.send(BEIJING, GOOD_NEWS, person_quiet_seconds=0.3, person_wait_seconds=0.5)
            assert outcome == "NotNow"
            assert "有人在用鼠标；请等消息发完再用这台电脑，已等了 0.5 秒" in reason
            assert (chats.sent(), chats.text(BEIJING)) == ([], "")

    def test_who_lets_go_is_waited_for(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING}) as chats:
            with stage.person_at_the_mouse():
                driver.begin(BEIJING, GOOD_NEWS, person_quiet_seconds=0.3, person_wait_seconds=30)
                threading.Event().wait(1)  # the mouse moves for so long; there is nothing to see meanwhile
                assert chats.text(BEIJING) == ""
            assert driver.answer()[0] == "Sent"
            assert chats.sent() == [(BEIJING, GOOD_NEWS)]

    def test_is_not_looked_for_where_that_is_off(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING}) as chats, stage.person_at_the_mouse():
            assert driver.send(BEIJING, GOOD_NEWS, person_quiet_seconds=0)[0] == "Sent"
            assert len(chats.sent()) == 1

    def test_stops_everything_in_a_corner_of_the_screen(self, stage: Stage, driver: Driver) -> None:
        stage.move_mouse(0, 0)
        with stage.chats({"title": BEIJING}) as chats:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS)
            assert (outcome, "鼠标在屏幕角落" in reason) == ("NotNow", True)
            assert (chats.sent(), chats.text(BEIJING)) == ([], "")


class TestSurroundings:
    def test_no_display_is_said_and_costs_no_try(self, stage: Stage) -> None:
        with stage.driver(DISPLAY="") as driver:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS)
        assert outcome == "NotNow"
        assert "看不到桌面" in reason
        assert "不要作为系统服务运行" in reason

    @pytest.mark.parametrize("library", ["pyautogui", "pywinctl", "pyperclip"])
    def test_a_missing_library_is_said_and_costs_no_try(self, stage: Stage, tmp_path: Path, library: str) -> None:
        (tmp_path / f"{library}.py").write_text(f"raise ImportError('gone', name='{library}')\n")
        with stage.driver(PYTHONPATH=f"{tmp_path}:{ROOT}") as driver:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS)
        assert (outcome, f"缺少操作桌面的组件（{library}）" in reason) == ("NotNow", True)

    def test_a_library_that_ends_the_process_does_not(self, stage: Stage, tmp_path: Path) -> None:
        """As pywinctl does without xrandr."""
        with stage.driver(PATH=str(tmp_path)) as driver:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS)
        assert (outcome, "SystemExit" in reason, "x11-xserver-utils" in reason) == ("NotNow", True, True)

    @pytest.mark.parametrize(
        ("xclip", "seen"),
        [
            ("", "剪贴板用不了（PyperclipException）"),
            ("exit 1", "剪贴板写不进去"),
            (f"exec sleep {HANGING_SECONDS}", "剪贴板用不了（0.5 秒没有反应）"),
        ],
        ids=["absent", "fails", "hangs"],
    )
    def test_a_broken_clipboard_is_said(self, stage: Stage, tmp_path: Path, xclip: str, seen: str) -> None:
        for name in ("xset", "xrandr", "sleep"):
            (tmp_path / name).symlink_to(shutil.which(name) or name)
        if xclip:
            (tmp_path / "xclip").write_text(f"#!/bin/sh\n{xclip}\n")
            (tmp_path / "xclip").chmod(0o755)
        with stage.chats({"title": BEIJING}) as chats, stage.driver(PATH=str(tmp_path)) as driver:
            started = time.monotonic()
            outcome, reason = driver.send(BEIJING, GOOD_NEWS, clipboard_seconds=0.5)
            assert time.monotonic() - started < HANGING_SECONDS / 2
            assert (outcome, seen in reason, "请关闭" in reason) == ("Retry", True, True), reason
            assert (chats.sent(), chats.text(BEIJING)) == ([], "")

    @pytest.mark.parametrize(("name", "message"), [("  ", GOOD_NEWS), (BEIJING, " \n")])
    def test_nobody_and_nothing_are_permanent(self, tmp_path: Path, name: str, message: str) -> None:
        settings = DesktopSettings()
        sender = DesktopChat(settings.wecom, settings, DesktopLock(tmp_path / "lock"), tmp_path)
        outcome = sender.send(RecipientSettings(name=name, sender="desktop_wecom"), message, already_left)
        assert isinstance(outcome, Failed)
        assert "为空；请" in outcome.reason

    def test_keys_that_are_none_are_said(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING}) as chats:
            outcome, reason = driver.send(BEIJING, GOOD_NEWS, wecom={"send": ["entre"]})
            assert (outcome, "按键 entre 不认识" in reason) == ("Retry", True)
            assert (chats.sent(), chats.text(BEIJING)) == ([], "")


class TestLock:
    def test_who_does_not_have_it_sends_nothing(
        self, stage: Stage, driver: Driver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(stage.lock_folder))
        lock = DesktopLock()
        with stage.chats({"title": BEIJING}) as chats:
            assert lock.try_acquire()
            outcome, reason = driver.send(BEIJING, GOOD_NEWS)
            assert (outcome, "另一个程序正在这台电脑的桌面上发消息" in reason) == ("NotNow", True)
            assert chats.sent() == []
            lock.release()
            assert driver.send(BEIJING, GOOD_NEWS) == ("Sent", "")

    def test_a_desktop_that_cannot_be_used_is_left_alone_for_a_while(self, tmp_path: Path) -> None:
        lock = DesktopLock(tmp_path / "lock")
        lock.pause(3600)
        with lock.free() as free, lock.held() as held:
            assert (free, held) == (False, True), "who has a message in hand may still try"
        lock.pause(0)
        with lock.free() as free:
            assert free

    def test_who_has_it_may_take_it_again(self, tmp_path: Path) -> None:
        lock, other = DesktopLock(tmp_path / "lock"), DesktopLock(tmp_path / "lock")
        with lock.held() as outer, lock.held() as inner:
            assert (outer, inner) == (True, True)
            assert not other.try_acquire()
        with other.held() as ours:
            assert ours

    def test_two_senders_take_turns(self, stage: Stage, driver: Driver) -> None:
        with stage.chats({"title": BEIJING}, {"title": SHANGHAI}) as chats, stage.driver() as other:
            expected, answers = [], []
            for number in range(5):
                driver.begin(BEIJING, f"北京第 {number} 条")
                other.begin(SHANGHAI, f"上海第 {number} 条")
                both = [
                    ((BEIJING, f"北京第 {number} 条"), driver.answer()),
                    ((SHANGHAI, f"上海第 {number} 条"), other.answer()),
                ]
                expected += [sent for sent, answer in both if answer[0] == "Sent"]
                answers += [answer for _, answer in both if answer[0] != "Sent"]
            assert sorted(chats.sent()) == sorted(expected)
            assert all(outcome == "NotNow" and "另一个程序" in reason for outcome, reason in answers)
            assert len(expected) >= 5


class TestPictures:
    def test_every_refusal_leaves_one_and_old_ones_go(self, stage: Stage, driver: Driver) -> None:
        reasons = [driver.send(BEIJING, GOOD_NEWS, screens_kept=2)[1] for _ in range(3)]
        names = [path.name for path in sorted(stage.screens.iterdir())]
        assert [f"（截图 {name}）" in reason for name, reason in zip(names, reasons[1:], strict=True)] == [True, True]
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in stage.screens.iterdir())

    def test_none_where_that_is_off(self, stage: Stage, driver: Driver) -> None:
        assert "截图" not in driver.send(BEIJING, GOOD_NEWS, screens_kept=0)[1]
        assert not stage.screens.exists()


@pytest.mark.slow
class TestLoad:
    @pytest.fixture(autouse=True)
    def _busy(self) -> Iterator[None]:
        with running(sys.executable, "-c", "while True: pass"), running(sys.executable, "-c", "while True: pass"):
            yield

    def test_sixty_messages_on_a_busy_machine(self, stage: Stage, driver: Driver) -> None:
        """One try each. None to a wrong chat, none garbled, none said to be sent that was not."""
        titles = [BEIJING, SHANGHAI, CHENGDU]
        with stage.chats(*({"title": title} for title in titles)) as chats:
            messages = [(titles[number % 3], f"第 {number} 条\n{ALL_OF_IT * (number % 9)}") for number in range(60)]
            outcomes = [driver.send(*message, readback_seconds=5, confirm_seconds=5)[0] for message in messages]
            assert chats.sent() == [
                message for message, outcome in zip(messages, outcomes, strict=True) if outcome == "Sent"
            ]
            assert outcomes.count("Sent") >= 57

    def test_windows_that_come_to_the_front_at_any_moment(self, stage: Stage, driver: Driver) -> None:
        """Whatever it is answered, it is true: Sent once, Retry not at all, Unknown one or the other."""
        chance = random.Random(8)
        titles = [BEIJING, SHANGHAI, CHENGDU]
        with stage.chats(*({"title": title} for title in titles)) as chats:
            answers: list[tuple[str, tuple[str, str]]] = []
            for number in range(15):
                message = (titles[number % 2], f"第 {number} 条")
                driver.begin(*message, readback_seconds=1, confirm_seconds=1)
                threading.Event().wait(chance.uniform(0, 0.9))  # any moment
                chats.ask({"front": CHENGDU})
                answers.append((driver.answer()[0], message))
            sent = chats.sent()
            assert chats.text(CHENGDU).strip() == ""
            for outcome, message in answers:
                assert sent.count(message) in {"Sent": [1], "Retry": [0], "Unknown": [0, 1]}[outcome]
            assert set(sent) <= {message for _, message in answers}
