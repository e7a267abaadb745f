"""Who may see the dashboard and who may act on it."""

from __future__ import annotations

import itertools
import socket
import threading
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from modules.errors import JobRefusedError
from modules.settings import Settings
from streamlit_app import access, launch
from streamlit_app.access import (
    CHECKED_AT_ONCE,
    FREE_TRIES,
    LONGEST_QUEUE,
    REMEMBERED_NAMES,
    AccessError,
    CrowdedError,
    Doorkeeper,
    host_of,
    is_this_machine,
    read_secrets,
    sign_in_of,
)
from streamlit_app.oidc import Provider, trouble_with
from streamlit_app.place import address_words
from tests.dashboard_stage import PASSWORD, QUICK
from tests.desk import NOON
from tests.oidc_stand_in import identity_provider
from tests.tools import wait_until

NOBODYS_QUICK_HASH = QUICK.hash("niemandes-Passwort")
LIHUAS_HASH = QUICK.hash(PASSWORD)
SECRETS = f"""
[dashboard.users.lihua]
name = "李华"
password = "{LIHUAS_HASH}"
role = "operator"

[dashboard.users.wang]
password = "{QUICK.hash("anderes-Passwort")}"

[dashboard.emails]
"Boss@Example.com" = "viewer"
"""


COMPANY = {
    "client_id": "dashboard",
    "client_secret": "Geheim",
    "server_metadata_url": "https://accounts.example.com/.well-known/openid-configuration",
}
AUTH: dict[str, object] = {
    "redirect_uri": "https://dashboard.example.com/oauth2callback",
    "cookie_secret": "Geheimnis" * 4,
}

PLACES = CHECKED_AT_ONCE + LONGEST_QUEUE


class Checks:
    """The checks of passwords, real ones but for the hash of nobody, which takes long: how many there were at once."""

    def __init__(self, check: Callable[[str, str], bool]) -> None:
        self._check, self._counting, self._go = check, threading.Lock(), threading.Event()
        self._go.set()
        self.made = self.going_on = self.most_at_once = 0

    def __call__(self, stored: str, password: str) -> bool:
        with self._counting:
            self.made += 1
            self.going_on += 1
            self.most_at_once = max(self.most_at_once, self.going_on)
        was_let_go = self._go.wait(20)
        self._go.set()  # the others need not wait as long to fail
        assert was_let_go
        is_right = self._check(NOBODYS_QUICK_HASH if stored == access._NOBODYS_HASH else stored, password)
        with self._counting:
            self.going_on -= 1
        return is_right

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """No check comes to an end within."""
        self._go.clear()
        try:
            yield
        finally:
            self._go.set()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    counted = Checks(access.is_password)
    monkeypatch.setattr(access, "is_password", counted)
    return counted


@contextmanager
def flood(keeper: Doorkeeper, sign_in: access.SignIn, checks: Checks) -> Iterator[list[Future[access.Viewer | None]]]:
    """As many windows as have a place, each with a name of its own; they are told at the end."""
    with ThreadPoolExecutor(PLACES) as windows, checks.held_up():
        tries = [windows.submit(keeper.admit, sign_in.access, f"name{n}", "falsch", NOON) for n in range(PLACES)]
        wait_until(lambda: keeper._inside == PLACES)
        yield tries


@pytest.fixture
def sign_in() -> access.SignIn:
    return sign_in_of(tomllib.loads(SECRETS))


class TestSettings:
    def test_without_secrets_nobody_signs_in(self) -> None:
        assert not sign_in_of({}).is_required

    def test_users_or_oidc_mean_that_everybody_signs_in(self, sign_in: access.SignIn) -> None:
        assert sign_in.is_required
        assert sign_in_of({"auth": AUTH | COMPANY}).is_required

    def test_e_mails_are_known_whatever_their_case_and_strangers_are_not(self, sign_in: access.SignIn) -> None:
        assert sign_in.access.role_of(" boss@example.COM ") == "viewer"
        assert sign_in.access.role_of("stranger@example.com") is None
        assert sign_in.access.role_of("") is None

    @pytest.mark.parametrize(
        ("claim", "strict", "lenient"),
        [(True, True, True), ("true", True, True), (None, False, True), (False, False, False), ("false", False, False)],
    )
    def test_an_address_counts_where_the_provider_vouches_for_it(
        self, claim: object, strict: bool, lenient: bool
    ) -> None:
        as_shipped = sign_in_of({}).access
        silence_passes = sign_in_of({"dashboard": {"allow_missing_email_verified": True}}).access
        assert as_shipped.is_vouched_for(claim) == strict
        assert silence_passes.is_vouched_for(claim) == lenient

    def test_a_password_in_the_clear_is_a_fault_that_does_not_show_it(self) -> None:
        with pytest.raises(AccessError) as refused:
            sign_in_of({"dashboard": {"users": {"wang": {"password": "offen-lesbar", "role": "boss"}}}})
        assert "dashboard.users.wang.password" in str(refused.value)
        assert "dashboard.users.wang.role" in str(refused.value)
        assert "offen-lesbar" not in str(refused.value)

    def test_a_file_that_cannot_be_read_is_a_fault_and_not_no_file(self, tmp_path: Path) -> None:
        broken = tmp_path / "secrets.toml"
        broken.write_text("[dashboard.users", encoding="utf-8")
        assert read_secrets([tmp_path / "absent.toml"]) == {}
        with pytest.raises(AccessError, match=r"secrets\.toml"):
            read_secrets([tmp_path / "absent.toml", broken])


def auth_faults(auth: object) -> str:
    with pytest.raises(AccessError) as refused:
        sign_in_of({"auth": auth})
    return str(refused.value)


class TestCompanySettings:
    """`[auth]`, as Streamlit reads it, before anybody presses the button."""

    def test_a_provider_stands_in_it_or_has_a_name_below_it_or_both(self) -> None:
        named = {"okta": COMPANY, "work": COMPANY | {"client_kwargs": {"prompt": "login"}}}
        assert [one.name for one in sign_in_of({"auth": AUTH | COMPANY}).providers] == [None]
        assert [one.name for one in sign_in_of({"auth": AUTH | named}).providers] == ["okta", "work"]
        assert [one.name for one in sign_in_of({"auth": AUTH | COMPANY | named}).providers] == [None, "okta", "work"]

    @pytest.mark.parametrize("missing", [*AUTH, *COMPANY])
    def test_what_is_missing_is_named(self, missing: str) -> None:
        auth = {key: value for key, value in (AUTH | COMPANY).items() if key != missing}
        assert auth_faults(auth) == f"secrets.toml: auth.{missing}: 缺少这一项，请补上"

    @pytest.mark.parametrize("missing", COMPANY)
    def test_also_in_a_provider_with_a_name(self, missing: str) -> None:
        okta = {key: value for key, value in COMPANY.items() if key != missing}
        assert auth_faults(AUTH | {"okta": okta}) == f"secrets.toml: auth.okta.{missing}: 缺少这一项，请补上"

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"redirect_uri": "https://dashboard.example.com"}, "auth.redirect_uri: 应是看板的地址加 /oauth2callback"),
            ({"cookie_secret": "Geheimnis"}, "auth.cookie_secret: 太短，应是至少 32 个随机字符"),
            ({"client_id": ""}, "auth.client_id: （内容不显示） 不能为空"),
            ({"client_secret": 4711}, "auth.client_secret: （内容不显示） 不是文字，请加引号写成文字"),
            ({"server_metadata_url": "accounts.example.com"}, "auth.server_metadata_url: 应以 https:// 开头"),
            ({"client_secrt": "Geheimnis"}, "auth.client_secrt: 未知的键，是否想写 client_secret？"),
            ({"our_okta": COMPANY}, "auth.our_okta: 名字里不能有下划线"),
        ],
    )
    def test_what_is_wrong_is_named_without_the_value(self, changed: dict[str, object], words: str) -> None:
        faults = auth_faults(AUTH | COMPANY | changed)
        assert faults.startswith(f"secrets.toml: {words}")
        assert len(faults.splitlines()) == 1
        assert "Geheim" not in faults
        assert "4711" not in faults

    @pytest.mark.parametrize("auth", [{}, "Geheimnis", ["Geheimnis"]])
    def test_one_that_says_nothing_is_a_fault_and_no_sign_in(self, auth: object) -> None:
        assert "auth" in auth_faults(auth)
        assert "Geheimnis" not in auth_faults(auth)

    def test_its_faults_and_those_of_users_are_told_together(self) -> None:
        with pytest.raises(AccessError) as refused:
            sign_in_of({"auth": AUTH, "dashboard": {"users": {"wang": {"password": "offen-lesbar"}}}})
        assert "auth.client_id" in str(refused.value)
        assert "dashboard.users.wang.password" in str(refused.value)

    def test_a_provider_that_cannot_be_reached_or_is_none_is_known_before_anybody_is_led_there(self) -> None:
        with identity_provider() as running:
            described = f"{running.url}/.well-known/openid-configuration"
            assert trouble_with(Provider(None, described)) is None
            assert "HTTP 200" in (trouble_with(Provider(None, f"{running.url}/elsewhere")) or "")
        assert "连不上" in (trouble_with(Provider(None, described)) or "")
        assert "连不上" in (trouble_with(Provider(None, "https://[::1")) or "")


class TestDoorkeeper:
    def test_name_and_password_admit_with_the_role(self, sign_in: access.SignIn) -> None:
        viewer = Doorkeeper().admit(sign_in.access, " LiHua ", PASSWORD, NOON)
        assert viewer is not None
        assert (viewer.name, viewer.who, viewer.may_act) == ("李华", "看板 lihua", True)
        assert sign_in.access.knows(viewer)

    @pytest.mark.parametrize(("login", "password"), [("lihua", "falsch"), ("nobody", PASSWORD), ("wang", PASSWORD)])
    def test_anything_else_does_not(self, sign_in: access.SignIn, login: str, password: str) -> None:
        assert Doorkeeper().admit(sign_in.access, login, password, NOON) is None

    def test_after_wrong_tries_even_the_right_password_waits_longer_each_time(self, sign_in: access.SignIn) -> None:
        keeper, now, waits = Doorkeeper(), NOON, []
        for _ in range(FREE_TRIES + 3):
            assert keeper.admit(sign_in.access, "lihua", "falsch", now) is None
            waits.append(keeper.wait_of("LIHUA", now).total_seconds())
            if waits[-1]:
                assert keeper.admit(sign_in.access, "lihua", PASSWORD, now) is None
            now += keeper.wait_of("lihua", now)
        assert waits == [0, 0, 2, 4, 8]
        assert keeper.wait_of("wang", now) == timedelta()
        assert keeper.admit(sign_in.access, "lihua", PASSWORD, now) is not None
        assert keeper.wait_of("lihua", now) == timedelta()

    def test_an_unknown_name_waits_like_a_known_one(self, sign_in: access.SignIn) -> None:
        keeper = Doorkeeper()
        for _ in range(FREE_TRIES + 1):
            keeper.admit(sign_in.access, "nobody", "falsch", NOON)
        assert keeper.wait_of("nobody", NOON) == timedelta(seconds=2)

    def test_who_tries_at_many_windows_at_once_gets_no_further_than_at_one(
        self, sign_in: access.SignIn, checks: Checks
    ) -> None:
        keeper = Doorkeeper()
        with ThreadPoolExecutor(20) as windows, checks.held_up():
            tries = [windows.submit(keeper.admit, sign_in.access, "lihua", f"falsch{n}", NOON) for n in range(20)]
            wait_until(lambda: sum(one.done() for one in tries) == 20 - (FREE_TRIES + 1))
        assert [one.result() for one in tries] == [None] * 20
        assert checks.made == FREE_TRIES + 1

    def test_what_it_remembers_is_bounded(self, sign_in: access.SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(access, "is_password", lambda stored, password: False)
        keeper = Doorkeeper()
        for number in range(REMEMBERED_NAMES + 50):
            keeper.admit(sign_in.access, f"name{number}", "falsch", NOON)
        assert len(keeper._tries) == REMEMBERED_NAMES

    @pytest.mark.parametrize(
        ("before", "after"),
        [("operator", "viewer"), ("李华", "李华二"), (LIHUAS_HASH, QUICK.hash("neues-Passwort"))],
        ids=["role", "name", "password"],  # a hash is another each time, and each worker would know other tests
    )
    def test_a_user_whose_role_name_or_password_changed_is_not_known_any_more(
        self, sign_in: access.SignIn, before: str, after: str
    ) -> None:
        viewer = Doorkeeper().admit(sign_in.access, "lihua", PASSWORD, NOON)
        assert viewer is not None
        assert sign_in_of(tomllib.loads(SECRETS)).access.knows(viewer)
        assert not sign_in_of(tomllib.loads(SECRETS.replace(before, after))).access.knows(viewer)

    def test_what_a_session_keeps_shows_nothing_of_the_password(self, sign_in: access.SignIn) -> None:
        viewer = Doorkeeper().admit(sign_in.access, "lihua", PASSWORD, NOON)
        assert LIHUAS_HASH not in str(vars(viewer))
        assert repr(viewer) == "Viewer(name='李华', who='看板 lihua', role='operator')"

    def test_what_hash_password_makes_is_taken(self) -> None:
        stored = access.password_hash(PASSWORD)
        assert access.is_password(stored, PASSWORD)
        assert not access.is_password(stored, PASSWORD + " ")


class TestFlood:
    """Many windows try many made-up names."""

    def test_few_are_checked_at_once_and_each_of_those_let_in_is(self, sign_in: access.SignIn, checks: Checks) -> None:
        keeper = Doorkeeper()
        with flood(keeper, sign_in, checks) as tries:
            wait_until(lambda: checks.going_on == CHECKED_AT_ONCE)
        assert [one.result() for one in tries] == [None] * PLACES
        assert checks.made == PLACES
        assert checks.most_at_once == CHECKED_AT_ONCE
        assert keeper._inside == 0

    def test_a_try_too_many_is_refused_at_once_without_a_check_and_does_not_count(
        self, sign_in: access.SignIn, checks: Checks
    ) -> None:
        keeper = Doorkeeper()
        with flood(keeper, sign_in, checks):
            for password in [PASSWORD] * (FREE_TRIES + 2):
                with pytest.raises(CrowdedError):
                    keeper.admit(sign_in.access, "lihua", password, NOON)
        assert checks.made == PLACES
        assert keeper.wait_of("lihua", NOON) == timedelta()
        for _ in range(FREE_TRIES):
            assert keeper.admit(sign_in.access, "lihua", "falsch", NOON) is None
        assert keeper.admit(sign_in.access, "lihua", PASSWORD, NOON) is not None

    def test_a_name_that_has_to_wait_takes_no_place(self, sign_in: access.SignIn, checks: Checks) -> None:
        keeper = Doorkeeper()
        for _ in range(FREE_TRIES + 1):
            keeper.admit(sign_in.access, "lihua", "falsch", NOON)
        with flood(keeper, sign_in, checks):
            assert keeper.admit(sign_in.access, "lihua", PASSWORD, NOON) is None
        assert keeper.wait_of("lihua", NOON) == timedelta(seconds=2)

    def test_a_right_password_comes_in_while_it_goes_on(self, sign_in: access.SignIn, checks: Checks) -> None:
        """The windows of the flood leave one place, and try on and on."""
        keeper, is_over, names = Doorkeeper(), threading.Event(), itertools.count()

        def try_on() -> None:
            while not is_over.is_set():
                assert keeper.admit(sign_in.access, f"name{next(names)}", "falsch", NOON) is None

        with ThreadPoolExecutor(PLACES) as windows:
            tries = [windows.submit(try_on) for _ in range(PLACES - 1)]
            try:
                wait_until(lambda: checks.made > PLACES)
                for _ in range(20):
                    assert keeper.admit(sign_in.access, "lihua", PASSWORD, NOON) is not None
            finally:
                is_over.set()
        assert [one.result() for one in tries] == [None] * (PLACES - 1)
        assert checks.most_at_once == CHECKED_AT_ONCE

    def test_a_check_that_breaks_lets_go_of_its_place(
        self, sign_in: access.SignIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(stored: str, password: str) -> bool:
            raise MemoryError

        monkeypatch.setattr(access, "is_password", broken)
        keeper = Doorkeeper()
        with pytest.raises(MemoryError):
            keeper.admit(sign_in.access, "lihua", PASSWORD, NOON)
        assert keeper._inside == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "[::1]", "localhost", "LOCALHOST.", "127.3.2.1"])
def test_this_machine_only(address: str) -> None:
    assert is_this_machine(address)


@pytest.mark.parametrize("address", ["", None, "0.0.0.0", "::", "192.168.1.5", "example.com", "127.0.0.1.evil.com"])  # noqa: S104
def test_others_can_come(address: str | None) -> None:
    assert not is_this_machine(address)


@pytest.mark.parametrize(
    ("header", "host"), [("127.0.0.1:8501", "127.0.0.1"), ("[::1]:8501", "::1"), ("example.com", "example.com")]
)
def test_the_host_that_was_asked_for(header: str, host: str) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1", "http://127.0.0.1:8501"),
        ("::1", "http://[::1]:8501"),
        ("desk.example.com", "http://desk.example.com:8501"),
        ("0.0.0.0", "http://127.0.0.1:8501，别的电脑用 http://这台电脑的IP:8501"),  # noqa: S104
        ("::", "http://127.0.0.1:8501，别的电脑用 http://这台电脑的IP:8501"),
    ],
)
def test_what_to_open_in_a_browser(address: str, words: str) -> None:
    assert address_words(address, 8501) == words


class TestLaunch:
    def test_an_open_address_without_sign_in_is_refused(self, sign_in: access.SignIn) -> None:
        nobody = sign_in_of({})
        for address in ("0.0.0.0", "192.168.1.5", "::"):  # noqa: S104
            with pytest.raises(JobRefusedError, match=r"没有设置登录，拒绝启动"):
                launch.require_safe(address, nobody)
            launch.require_safe(address, sign_in)
        launch.require_safe("127.0.0.1", nobody)

    def test_a_sign_in_that_is_not_complete_does_not_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secrets = tmp_path / "secrets.toml"
        secrets.write_text('[auth]\ncookie_secret = "Geheimnis"\n', encoding="utf-8")
        monkeypatch.setattr(launch, "SECRETS", (secrets,))
        with pytest.raises(
            JobRefusedError, match=r"登录设置有错，看板拒绝启动：[\s\S]*auth\.client_id: 缺少"
        ) as refused:
            launch.serve(Settings(), demo=False, port=None)
        assert "Geheimnis" not in str(refused.value)

    def test_a_port_that_is_taken_is_refused_in_words(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(JobRefusedError, match=rf"127\.0\.0\.1:{port} 用不了（已被别的程序占用）；.*--port"):
                launch.require_free("127.0.0.1", port)
        launch.require_free("127.0.0.1", port)

    def test_an_address_that_is_not_of_this_machine_is_refused_in_words(self) -> None:
        with pytest.raises(JobRefusedError, match=r"192\.0\.2\.1:8501 用不了.*dashboard\.address"):
            launch.require_free("192.0.2.1", 8501)

    def test_the_demo_is_shown_its_own_database_whatever_the_environment_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(launch, "DEMO_DIR", tmp_path)
        monkeypatch.setenv("METABASE_URL", "https://metabase.example.com")
        with pytest.raises(JobRefusedError, match="请先运行 demo"):
            launch.demo_environment()
        (tmp_path / "tasks.db").touch()
        assert launch.demo_environment()["DATABASE_URL"] == f"sqlite:///{tmp_path / 'tasks.db'}"
        assert is_this_machine(urlsplit(launch.demo_environment()["METABASE_URL"]).hostname)

    @pytest.mark.parametrize(("typed", "refusal"), [(["kurz", "kurz"], "太短"), ([PASSWORD, PASSWORD + "x"], "不一样")])
    def test_a_short_or_mistyped_password_gets_no_hash(
        self, monkeypatch: pytest.MonkeyPatch, typed: list[str], refusal: str
    ) -> None:
        answers = iter(typed)
        monkeypatch.setattr(launch.getpass, "getpass", lambda prompt: next(answers))
        with pytest.raises(JobRefusedError, match=refusal):
            launch.ask_for_hash()
