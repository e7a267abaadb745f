"""What the operating system refuses is told in Chinese, where we know the words."""

import errno
import os

import pytest

from modules.errors import words_of
from modules.system_words import reason_of


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "没有这个文件或文件夹"),
        (errno.EACCES, "没有权限"),
        (errno.EADDRINUSE, "已被别的程序占用"),
        (errno.ENOSPC, os.strerror(errno.ENOSPC)),
    ],
)
def test_reasons(number: int, words: str) -> None:
    error = OSError(number, os.strerror(number), "/data/x")
    assert reason_of(error) == words
    assert words_of(error) == f"读写不了 /data/x（{words}）；请检查 DATA_DIR、磁盘空间和权限"


def test_an_error_without_words_is_named_by_its_kind() -> None:
    assert reason_of(ConnectionResetError()) == "ConnectionResetError"
