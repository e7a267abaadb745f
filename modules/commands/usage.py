"""What the command line's library complains of, in Chinese, and which help to read."""

import re
from typing import Any

import typer

from modules import terminal

_WORDS = (
    (r"No such command '(.*)'\.", "没有命令 {}"),
    (r"No such command '(.*)'\. Did you mean (.*)\?", "没有命令 {}，是否想写 {}？"),
    (r"Missing command\.", "还要写一个子命令"),
    (r"No such option: (\S+).*", "没有选项 {}"),
    (r"Option '(.*)' requires an argument\.", "{} 后面没有写值"),
    (r"Option '(.*)' does not take a value\.", "{} 后面不能写值"),
    (r"Got unexpected extra argument\(s\) \((.*)\)", "多写了 {}"),
    (r"Input should be a valid integer.*", "应写整数"),
    (r"Input should be greater than or equal to (.*)", "应不小于 {}"),
    (r"Input should be less than or equal to (.*)", "应不大于 {}"),
)
"""The library's words → ours. Others are shown as they are."""


def usage_in_words(error: typer.TyperException) -> str:
    """What is wrong with a command as it was typed, and what to do, on one line."""
    context = getattr(error, "ctx", None)
    path = context.command_path.partition(" ")[2] if context is not None else ""
    start = " ".join(filter(None, (terminal.START, path)))
    return f"命令用法不对（{_complaint(error)}）；请运行 {start} --help 查看用法"


def _complaint(error: typer.TyperException) -> str:
    parameter = getattr(error, "param", None)
    name = "" if parameter is None else _name(parameter)
    if type(error).__name__ == "MissingParameter":
        return f"没有写 {name}"
    words = " ".join(str(error).split())
    for pattern, ours in _WORDS:
        if found := re.fullmatch(pattern, words):
            words = ours.format(*found.groups())
            break
    near = getattr(error, "possibilities", None)
    hint = f"，是否想写 {'、'.join(sorted(near))}？" if near else ""
    return f"{name} {words}{hint}".strip()


def _name(parameter: Any) -> str:
    """As the help shows it: an option by its name, an argument by what stands in its place."""
    options = [name for name in parameter.opts if name.startswith("--")]
    return str(options[0] if options else parameter.metavar or parameter.name)
