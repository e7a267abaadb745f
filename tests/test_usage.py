"""A command that was typed wrongly is refused in Chinese, with what is wrong and which help to read."""

import pytest
import typer

import main
from modules.commands.usage import usage_in_words
from modules.terminal import START


@pytest.mark.parametrize(
    ("typed", "complaint", "help_of"),
    [
        ("nosuch", "没有命令 nosuch", ""),
        ("tasks nosuch", "没有命令 nosuch", "tasks "),
        ("tasks shwo", "没有命令 shwo，是否想写 'show'？", "tasks "),
        ("tasks", "还要写一个子命令", "tasks "),
        ("check --nosuch", "没有选项 --nosuch", "check "),
        ("check --onlin", "没有选项 --onlin，是否想写 --json、--online？", "check "),
        ("run", "没有写 job", "run "),
        ("tasks show", "没有写 ID", "tasks show "),
        ("adjust BJ-2025-05", "没有写 --housekeeper", "adjust "),
        ("run BJ-2025-05 --at", "--at 后面没有写值", ""),
        ("check --json=1", "--json 后面不能写值", ""),
        ("check one two", "多写了 one two", "check "),
        ("tasks show abc", "ID 应写整数", "tasks show "),
        ("tasks purge --days x", "--days 应写整数", "tasks purge "),
        ("dashboard --port 0", "--port 应不小于 1", "dashboard "),
        ("dashboard --port 99999", "--port 应不大于 65535", "dashboard "),
    ],
)
def test_wrong_use_is_told_in_chinese(typed: str, complaint: str, help_of: str) -> None:
    with pytest.raises(typer.TyperException) as raised:
        main.cli(typed.split(), prog_name="main.py", standalone_mode=False)
    told = usage_in_words(raised.value)
    assert told == f"命令用法不对（{complaint}）；请运行 {START} {help_of}--help 查看用法"


def test_words_that_nobody_foresaw_are_shown_as_they_are() -> None:
    assert "something\nelse" not in usage_in_words(typer.TyperException("something\nelse"))
    assert "（something else）" in usage_in_words(typer.TyperException("something\nelse"))
