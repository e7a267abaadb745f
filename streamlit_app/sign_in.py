"""The door: who is before the page, or the form that asks."""

import logging
import time
from pathlib import Path

import streamlit as st

from modules.clock import shanghai_now
from streamlit_app.access import (
    Access,
    CrowdedError,
    Doorkeeper,
    SignIn,
    Viewer,
    host_of,
    is_this_machine,
    local_viewer,
    read_secrets,
    sign_in_of,
)
from streamlit_app.oidc import Provider, trouble_with
from streamlit_app.words import plain

log = logging.getLogger(__name__)

_KEPT = "viewer"
_FAILED_TRY_SECONDS = 1.0


def require_viewer() -> Viewer:
    """Whoever may see the page; for anybody else the run ends here, with the form or with why not."""
    sign_in = _read_sign_in()
    viewer = _known_viewer(sign_in)
    if viewer is not None:
        return viewer
    if not sign_in.is_required:
        st.error(
            "看板没有设置登录，只能在本机打开（http://127.0.0.1:端口）；要让别的电脑访问，请先设置登录，见 README",
            icon=":material/lock:",
        )
    elif sign_in.providers and st.user.get("is_logged_in"):
        st.error(_refusal(sign_in.access), icon=":material/block:")
        st.button("换一个账号", on_click=st.logout)
    else:
        _ask(sign_in)
    st.stop()


def is_known() -> bool:
    """Whether whoever is there has got past the door. Raises AccessError."""
    return _known_viewer(_read_sign_in()) is not None


def _known_viewer(sign_in: SignIn) -> Viewer | None:
    if not sign_in.is_required:
        return local_viewer() if _comes_from_here() else None
    kept = st.session_state.get(_KEPT)
    if isinstance(kept, Viewer) and sign_in.access.knows(kept):
        return kept
    if (
        sign_in.providers
        and st.user.get("is_logged_in")
        and sign_in.access.is_vouched_for(st.user.get("email_verified"))
    ):
        email = str(st.user.get("email") or "")
        role = sign_in.access.role_of(email)
        return None if role is None else Viewer(str(st.user.get("name") or email), f"看板 {email}", role)
    return None


def _refusal(access: Access) -> str:
    """Why who has signed in with a company account does not get in. Not whether somebody else would."""
    email, claim = str(st.user.get("email") or ""), st.user.get("email_verified")
    if not email:
        return "公司的登录系统没有给出这个账号的邮箱，看板认不出是谁；请联系管理员（登录系统要给出 email）"
    if access.is_vouched_for(claim):
        return f"账号 {plain(email)} 没有看板的权限；请联系管理员把它加进名单"
    if claim is None:
        return (
            f"公司的登录系统没有说明 {plain(email)} 这个邮箱是否验证过，看板不能放行；"
            f"请联系管理员（见 README 里的 {plain('allow_missing_email_verified')}）"
        )
    return f"公司的登录系统说 {plain(email)} 这个邮箱没有验证过，看板不能放行；请先在那里验证邮箱，再重新登录"


def show_viewer(viewer: Viewer) -> None:
    """Who is signed in, and the way out, in the sidebar; nothing where nobody has to sign in."""
    if viewer == local_viewer():
        return
    st.sidebar.caption(f"已登录：{plain(viewer.name)}（{'可操作' if viewer.may_act else '只能查看'}）")
    if st.sidebar.button("退出登录", icon=":material/logout:", key="sign_out"):
        st.session_state.pop(_KEPT, None)
        if st.user.get("is_logged_in"):
            st.logout()
        st.rerun()


def _ask(sign_in: SignIn) -> None:
    _, middle, _ = st.columns([1, 2, 1])
    with middle:
        st.title("签约激励看板")
        for provider in sign_in.providers:
            _offer(provider, "" if len(sign_in.providers) == 1 else f"（{plain(provider.name or '默认')}）")
        if sign_in.access.users:
            _ask_name_and_password(sign_in.access)


def _offer(provider: Provider, which: str) -> None:
    if not st.button(
        f"用公司账号登录{which}",
        key=f"login_{provider.name or ''}",
        type="primary",
        icon=":material/login:",
        width="stretch",
    ):
        return
    trouble = trouble_with(provider)
    if trouble is None:
        st.login(provider.name)
        return
    log.warning("看板：公司的登录系统 %s 用不了（%s）", provider.metadata_url, trouble)
    st.error(
        f"公司的登录系统用不了（{trouble}），暂时不能用公司账号登录；请过一会儿再试，仍不行请联系管理员",
        icon=":material/cloud_off:",
    )


def _ask_name_and_password(access: Access) -> None:
    with st.form("sign_in"):
        login = st.text_input("用户名", max_chars=100, autocomplete="username")
        password = st.text_input("密码", type="password", max_chars=200, autocomplete="current-password")
        is_sent = st.form_submit_button("登录", type="primary", width="stretch")
    if not is_sent:
        return
    keeper, now = _doorkeeper(), shanghai_now()
    wait = keeper.wait_of(login, now)
    try:
        viewer = keeper.admit(access, login, password, now)
    except CrowdedError:
        time.sleep(_FAILED_TRY_SECONDS)
        st.error("正在登录的人太多，请过几秒再试", icon=":material/hourglass_top:")
        return
    if viewer is not None:
        st.session_state[_KEPT] = viewer
        st.rerun()
    if wait:
        st.error(f"试错太多，请 {int(wait.total_seconds()) + 1} 秒后再试", icon=":material/timer:")
        return
    time.sleep(_FAILED_TRY_SECONDS)
    st.error("用户名或密码不对", icon=":material/block:")


@st.cache_resource(max_entries=1, show_spinner=False)
def _doorkeeper() -> Doorkeeper:
    """One for all who come to this process."""
    return Doorkeeper()


def _comes_from_here() -> bool:
    """Whether the browser asked this machine for itself, and no proxy asks for somebody else."""
    headers = st.context.headers
    if not is_this_machine(st.get_option("server.address")) or headers.get("X-Forwarded-For"):
        return False
    host = headers.get("Host")
    return host is None or is_this_machine(host_of(host))


def _read_sign_in() -> SignIn:
    return sign_in_of(read_secrets(Path(file) for file in st.get_option("secrets.files")))
