"""通知队列: the messages by state, those that need a person with the reason, and what an operator does about them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import streamlit as st

from modules import task_acts
from modules.clock import format_moment
from modules.figures.freshness import age_words
from modules.figures.queue import Act, StatusLine
from modules.task_states import COMPLETED, FAILED, PENDING, STATUS_WORDS, STATUSES, UNCERTAIN, Task
from streamlit_app import data, filters, reading
from streamlit_app.access import Viewer
from streamlit_app.acts import OnTask, act
from streamlit_app.cards import Card, show_cards
from streamlit_app.frame import guarded, page, show_nothing
from streamlit_app.sign_in import require_viewer
from streamlit_app.tables import Cell, Column, show_newest
from streamlit_app.words import plain, recipient_name

SHOWN, ACTS_SHOWN = 500, 100
TEXT_PIXELS = 270
"""Reason, text and recipient are seen side by side on 1280 pixels, and on a phone the first of them."""
COUNT_EVERY_SECONDS = 15
DONE = "queue_done"
"""What an act came to, to be told after the page is drawn anew."""

COLUMNS = (
    Column("编号", "number"),
    Column("原因", wide=TEXT_PIXELS, sparse=True, help="为什么失败、待核实，或在等什么"),
    Column("内容", wide=TEXT_PIXELS),
    Column("收件人"),
    Column("已试", "count"),
    Column("更新时间", "moment"),
    Column("创建时间", "moment"),
    Column("类型"),
    Column("消息编号", sparse=True),
)
ACTS = (Column("时间", "moment"), Column("谁"), Column("做了什么", wide=True))


@dataclass(frozen=True)
class Choice:
    """Something that can be done to tasks in some states."""

    label: str
    icon: str
    warning: str
    allowed_from: frozenset[str]
    on_task: OnTask


CHOICES = (
    Choice(
        "重发",
        ":material/redo:",
        "消息会重新排队并发出去；如果其实已经送达，对方会收到两次。",
        task_acts.CAN_BE_RETRIED,
        task_acts.retry,
    ),
    Choice(
        "已送达",
        ":material/done_all:",
        "记为已送达（或已人工转发），不再发送。请先在聊天窗口里看到它。",
        task_acts.CAN_BE_RESOLVED,
        lambda app, task_id, who: task_acts.resolve(app, task_id, COMPLETED, who),
    ),
    Choice("取消", ":material/cancel:", "消息不再发送。", task_acts.CAN_BE_CANCELLED, task_acts.cancel),
)


@page("通知队列", "等着发、发不出去和要人核实的消息；操作员可以在这里重发、取消或下结论。", waits=True)
def main(viewer: Viewer) -> None:
    if DONE in st.session_state:
        st.success(plain(st.session_state.pop(DONE)), icon=":material/check:")
    _show_counts()
    with filters.bar():
        state = filters.choose("state", "状态", STATUSES, default=_most_urgent(), shown=STATUS_WORDS.__getitem__)
        recipient = filters.choose_or_all("recipient", "收件人", data.recipients_of(state), shown=recipient_name)
    _show_tasks(viewer, state, recipient or "")
    _show_acts()


@st.fragment(run_every=COUNT_EVERY_SECONDS)
@guarded
def _show_counts() -> None:
    show_cards(_card(line) for line in data.queue_by_status())


def _card(line: StatusLine) -> Card:
    oldest = f"最早一条创建于 {format_moment(line.oldest)[:16]}" if line.oldest else None
    title = STATUS_WORDS[line.status]
    if line.status == PENDING and line.oldest:
        title += f"（最早 {age_words(reading.now() - line.oldest)}）"
    mark = "🔴 " if line.status in (FAILED, UNCERTAIN) and line.number else ""
    return Card(title, f"{mark}{line.number:,}", oldest)


def _most_urgent() -> str:
    numbers = {line.status: line.number for line in data.queue_by_status()}
    return next((status for status in (FAILED, UNCERTAIN, PENDING) if numbers[status]), COMPLETED)


def _show_tasks(viewer: Viewer, state: str, recipient: str) -> None:
    newest = data.tasks_of(state, recipient, SHOWN)
    found = newest.rows
    if not found:
        show_nothing(f"没有{STATUS_WORDS[state]}的消息")
        return
    row_of = partial(_row, cache(recipient_name))  # settings, which know the names, are read once for each
    every = partial(data.every_task_of, state, recipient)
    picked = show_newest("消息", COLUMNS, newest, row_of, every, file_name=f"消息-{STATUS_WORDS[state]}", select="many")
    chosen = [found[index] for index in picked]
    if not chosen:
        st.caption("选中一行或几行，看全文" + ("并处理" if viewer.may_act else "；你的账号只能查看，不能处理"))
        return
    if viewer.may_act:
        _show_choices(viewer, state, chosen)
    for task in chosen[:5]:
        with st.container(border=True):
            st.markdown(f"**任务 {task.id}**　{plain(recipient_name(task.recipient))}")
            if task.last_error:
                st.warning(plain(task.last_error), icon=":material/info:")
            st.code(task.message, language=None, wrap_lines=True)


def _show_choices(viewer: Viewer, state: str, chosen: list[Task]) -> None:
    with st.container(horizontal=True):
        for choice in CHOICES:
            if state in choice.allowed_from and st.button(
                f"{choice.label}所选 {len(chosen)} 条", key=f"act_{choice.label}", icon=choice.icon
            ):
                _ask(viewer, choice, chosen)


@st.dialog("请确认")
@guarded
def _ask(viewer: Viewer, choice: Choice, chosen: list[Task]) -> None:
    st.markdown(f"**{choice.label} {len(chosen)} 条消息**：任务 {'、'.join(str(task.id) for task in chosen[:20])}")
    st.markdown(choice.warning)
    st.caption(f"操作会以“{plain(viewer.who)}”的名义记录下来。")
    if st.button(f"确认{choice.label}", type="primary", key="confirm", icon=choice.icon):
        viewer = require_viewer()  # the dialog may have stood open while the role was taken away
        st.session_state[DONE] = "；".join(act(viewer, choice.on_task, [task.id for task in chosen]))
        st.rerun()


def _show_acts() -> None:
    st.subheader("操作记录", anchor=False)
    found = data.acts_on_tasks(ACTS_SHOWN)
    if not found.rows:
        show_nothing("还没有人处理过消息")
        return
    show_newest("操作记录", ACTS, found, _act_row, data.every_act_on_tasks, file_name="操作记录")


def _act_row(one: Act) -> list[Cell]:
    return [one.at, one.who, one.detail]


def _row(name_of: Callable[[str], str], task: Task) -> list[Cell]:
    return [
        task.id,
        task.last_error or "",
        task.message,
        name_of(task.recipient),
        task.attempts,
        task.updated_at,
        task.created_at,
        task.task_type,
        task.group_key or "",
    ]


main()
