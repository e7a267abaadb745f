"""运行状况: whether the program runs and how its jobs do, what is wrong with data and configuration, which versions."""

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from modules.clock import format_moment, in_shanghai, parse_moment
from modules.figures.freshness import age_words
from modules.figures.runs import Failure, RejectedRow, Tally, failed_share
from modules.health import JobState
from modules.rewards.faults import Fault
from modules.version import version
from streamlit_app import charts, data, reading
from streamlit_app.access import Viewer
from streamlit_app.cards import Card, show_cards
from streamlit_app.frame import guard, guarded, page, show_fault, show_nothing
from streamlit_app.tables import Cell, Column, show_newest, show_table
from streamlit_app.words import OUTCOMES, plain

LOOK_EVERY_SECONDS = 15
DAYS_SHOWN = 7
DAEMON_WORDS = {"running": "🟢 正在运行", "silent": "🔴 没有反应", "dead": "⚪ 没有运行", "unknown": "❔ 不知道"}
FAILURES_SHOWN, REJECTED_SHOWN = 100, 1000

JOBS = (
    Column("任务"),
    Column("状态"),
    Column("上次结果"),
    Column("上次开始", "moment"),
    Column("下次运行", "moment", help="后台程序在运行时"),
    Column("上次成功", "moment"),
    Column("上次的错误", wide=True),
    Column("拉到的合同", "count", help="最近一次成功拉取的行数"),
    Column("什么时候运行", help="活动的起止日，或固定的时刻"),
    Column("编号", help="命令里用的名字，如 run 编号"),
)
FAILURES = (
    Column("时间", "moment"),
    Column("任务"),
    Column("结果"),
    Column("失败次数", "count", help="每天一次的任务失败后会再试"),
    Column("错误", wide=True),
)
REJECTED = (Column("活动或任务"), Column("合同ID"), Column("原因", wide=True), Column("最早发现", "moment"))
VERSIONS = (Column("项目"), Column("现在", wide=True))


@page("运行状况", "后台程序在不在运行，各个任务上次和下次什么时候跑，出了什么错，数据和配置有什么要改。只能看。")
def main(viewer: Viewer) -> None:
    data.place()  # without a database there is nothing to show
    states: Sequence[JobState] = ()
    running = data.daemon_configuration() or {}
    _show_now()
    with guard():
        _show_troubles()
    with guard():
        states = data.job_states()
        _show_jobs(states)
    with guard():
        _show_runs(states)
    with guard():
        _show_failures(states)
    with guard():
        _show_rejected()
    with guard():
        _show_findings(running)
    with guard():
        _show_versions(running)


@st.fragment(run_every=LOOK_EVERY_SECONDS)
@guarded
def _show_now() -> None:
    daemon, wrong = data.daemon(), data.what_is_wrong()
    beat, troubles = daemon.heartbeat, len(data.open_troubles())
    is_running = daemon.state == "running"
    age = age_words(reading.now() - beat.at) if beat else "—"
    queue = {line.status: line.number for line in data.queue_by_status()}
    show_cards(
        [
            Card(
                "后台程序",
                DAEMON_WORDS[daemon.state],
            ),
            Card("最近的心跳", age, format_moment(beat.at) if beat else "后台程序每 10 秒写一次；没有写过"),
            Card("没解决的问题", _marked(troubles)),
            Card("上次失败的任务", _marked(len(wrong.failed_runs))),
            Card("发不出去的消息", _marked(wrong.failed + wrong.uncertain), f"另有 {queue.get('pending', 0)} 条待发送"),
            Card("用不了的数据行", _marked(sum(wrong.rejected.values()))),
        ]
    )
    if daemon.state in ("silent", "unknown") or (
        daemon.state == "dead" and beat is not None and not daemon.was_asked_to_end
    ):
        show_fault(f"后台程序{plain(daemon.words)}")
    elif not is_running:
        st.warning(
            f"后台程序{plain(daemon.words)}；若它在别的机器上运行，这里看不到它的心跳，只看得到数据库里的运行记录",
            icon=":material/power_off:",
        )
    if beat is not None and is_running and beat.version != version():
        words = f"后台程序是 {beat.version}，看板是 {version()}：两边版本不同，请重启旧的那个"
        st.warning(words, icon=":material/difference:")
    if beat is not None and beat.health_fault:
        st.warning(plain(beat.health_fault), icon=":material/info:")
    if wrong.failed or wrong.uncertain:
        state = "failed" if wrong.failed else "uncertain"
        st.page_link("pages/queue.py", label="去通知队列处理", query_params={"state": state})


def _show_troubles() -> None:
    found = data.open_troubles()
    if not found:
        return
    st.subheader("没解决的问题", anchor=False, help="后台程序每分钟查看一次；开始和解除时各告知运维一次")
    for one in found:
        told = f"{format_moment(one['told_at'])[:16]} 已告知运维" if one["told_at"] else "还没有告知"
        seen = f"{plain(_seer(str(one['seen_by'])))}，{told}"
        show_fault(f"{format_moment(one['since'])[:16]} 起：{plain(one['what'])}　:small[{seen}]")


# -- jobs ------------------------------------------------------------------------------------------------------------


def _show_jobs(states: Sequence[JobState]) -> None:
    st.subheader("任务", anchor=False)
    if states:
        show_table("任务", JOBS, [_job_row(one) for one in states], file_name="任务")
    else:
        show_nothing("活动配置里没有可以运行的活动，也没有固定的任务")


def _job_row(one: JobState) -> list[Cell]:
    return [
        one.title,
        _activity(one),
        OUTCOMES.get(one.last_outcome, one.last_outcome) if one.last_outcome is not None else "没跑过",
        _moment(one.last_started),
        _moment(one.next_run),
        _moment(one.last_success),
        one.last_error or "",
        one.contracts_pulled,
        one.period,
        one.job,
    ]


def _activity(one: JobState) -> str:
    if one.closed_at:
        return "已结账"
    if one.last_settle_day is None:
        return "启用" if one.active else "停用"
    return "活动期内" if one.active else "不在活动期"


def _show_runs(states: Sequence[JobState]) -> None:
    """The runs of the last days by job and outcome, to the hour: so that the answer is kept for a while."""
    since = in_shanghai(reading.now()).replace(minute=0, second=0, microsecond=0) - timedelta(days=DAYS_SHOWN)
    found = data.run_tallies(since)
    if not found:
        show_nothing(f"最近 {DAYS_SHOWN} 天没有任务运行过")
        return
    titles = {one.job: one.title for one in states}
    rows = [(titles.get(one.job, one.job), OUTCOMES.get(one.outcome, one.outcome), one.number) for one in found]
    chart = (
        alt.Chart(pd.DataFrame(rows, columns=["任务", "结果", "次数"]))
        .mark_bar()
        .encode(
            y=alt.Y("任务:N", sort="-x", title=None, axis=alt.Axis(labelLimit=180)),
            x=alt.X("次数:Q", title="运行次数", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color(
                "结果:N",
                sort=list(dict.fromkeys(OUTCOMES.values())),
                title=None,
                legend=charts.legend_of(row[1] for row in rows),
            ),
            tooltip=[alt.Tooltip("任务:N"), alt.Tooltip("结果:N"), alt.Tooltip("次数:Q")],
        )
        .properties(height=26 * len({one.job for one in found}) + 130)
    )
    charts.show_chart(_runs_words(found, titles), chart)


def _runs_words(found: Sequence[Tally], titles: dict[str, str]) -> str:
    total, share = sum(one.number for one in found), failed_share(list(found))
    failed = {one.job: one.number for one in found if one.outcome == "failed"}
    words = f"最近 {DAYS_SHOWN} 天任务共运行 {total:,} 次"
    if not failed or share is None:
        return f"{words}，没有失败。"
    worst = max(failed, key=lambda job: failed[job])
    most = f"失败最多的是{titles.get(worst, worst)}（{failed[worst]} 次）"
    return f"{words}，失败 {sum(failed.values())} 次（{share:.1%}）；{most}。"


def _show_failures(states: Sequence[JobState]) -> None:
    st.subheader("最近的错误", anchor=False)
    found = data.run_failures(FAILURES_SHOWN)
    if not found.rows:
        show_nothing("没有任务出过错")
        return
    titles = {one.job: one.title for one in states}

    def row_of(one: Failure) -> list[Cell]:
        outcome = OUTCOMES.get(one.outcome, one.outcome)
        return [one.at, titles.get(one.job, one.job), outcome, one.failures or None, one.error]

    show_newest("最近的错误", FAILURES, found, row_of, data.every_run_failure, file_name="最近的错误")


# -- data and configuration ------------------------------------------------------------------------------------------


def _show_rejected() -> None:
    st.subheader(
        "用不了的数据行", anchor=False, help="源数据里现在还有、因为有错没有登记的行；在 Metabase 里改正后自动登记"
    )
    found = data.rejected_rows(REJECTED_SHOWN)
    if not found.rows:
        show_nothing("没有用不了的行")
        return
    every = data.every_rejected_row
    show_newest("用不了的数据行", REJECTED, found, _rejected_row, every, file_name="用不了的数据行")


def _rejected_row(one: RejectedRow) -> list[Cell]:
    return [one.job, one.contract_id, one.reason, one.first_seen_at]


def _show_findings(running: Mapping[str, Any]) -> None:
    """`running`: what the daemon runs by, empty where none is running."""
    st.subheader(
        "配置检查", anchor=False, help="和 check 命令一样，但不连 Metabase 和企业微信，也不通读数据库；每分钟重查"
    )
    found = data.findings()
    changed, kept = running.get("settings_changed") or [], running.get("kept") or {}
    if changed:
        st.warning(f"设置文件已改动：{plain('、'.join(changed))}；重启后台程序后才生效", icon=":material/restart_alt:")
    for name, since in kept.items():
        st.warning(f"{plain(name)} 的改动有错，后台程序仍按 {since} 的版本运行", icon=":material/history:")
    _show_faults(found.faults, "要改正", "error")
    _show_faults(found.warnings, "请看一看", "warning")
    for fault in data.unwritten_files():
        st.warning(
            f"文件写不了：{plain(str(fault.file))}（{plain(fault.reason)}）；请关闭打开它的程序，会自动再写",
            icon=":material/draft:",
        )
    if not found.faults:
        st.success(plain("；".join(found.notes)) or "配置没有错", icon=":material/check_circle:")


def _show_faults(faults: Sequence[Fault], title: str, kind: str) -> None:
    if not faults:
        return
    listed = "\n".join(f"- `{fault.path}`　{plain(fault.text)}" for fault in faults)
    words = f"**{title}（{len(faults)} 处）**\n\n{listed}"
    if kind == "error":
        show_fault(words)
    else:
        st.warning(words, icon=":material/rule:")


def _show_versions(running: Mapping[str, Any]) -> None:
    st.subheader("版本", anchor=False)
    beat, report = data.daemon().heartbeat, data.backups()
    rows = [
        ("看板", version()),
        ("后台程序", f"{beat.version}（{format_moment(beat.started_at)[:16]} 启动，进程 {beat.pid}）" if beat else "—"),
        ("后台程序的配置", f"{running['hash']}（{running['loaded_at'][:16]} 起）" if running else "—"),
        ("数据库", data.place()),
        ("数据表的版本", data.tables_version()),
        ("数据文件夹", str(reading.settings().data_dir)),
        ("上次备份", _backup_words(report.backed_up_at, report.damage or report.backup_fault)),
        ("Python、Streamlit", f"{platform.python_version()}、{st.__version__}"),
    ]
    show_table("版本", VERSIONS, rows, file_name="版本")


def _backup_words(at: datetime | None, fault: str) -> str:
    words = format_moment(at)[:16] if at else "还没有备份过"
    return f"{words}；⚠️ {fault}" if fault else words


def _marked(number: int) -> str:
    return f"🔴 {number}" if number else "0"


def _moment(text: str | None) -> datetime | None:
    return parse_moment(text) if text else None


def _seer(seen_by: str) -> str:
    kind, _, name = seen_by.partition(":")
    known = {"house": "看数据库发现", "machine": f"机器 {name} 发现", "check": f"机器 {name} 的定时检查发现"}
    return known.get(kind, seen_by)


main()
