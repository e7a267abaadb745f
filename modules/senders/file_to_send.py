"""The file that a task names: read whole, and only where it may leave the machine.

Whoever can write a row of the queue must not be able to send away any file of the machine. So a file must lie below the
data folder, links followed, and is refused there where it is the program's own: locks and the cached Metabase session
in `state`, logs and pictures of the screen in `logs`, databases, hidden files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.senders.outcome import Failed, Retry

SMALLEST_BYTES = 5
LARGEST_BYTES = 20 * 1024 * 1024
"""WeCom's published limits for a file, both included."""

SQLITE_MAGIC = b"SQLite format 3\x00"
SQLITE_ENDINGS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class FileToSend:
    """A file's name as people are to see it, and its content."""

    name: str
    content: bytes


def read_file(text: str, data_dir: Path, own: Sequence[Path]) -> FileToSend | Retry | Failed:
    """The file at the path `text`, absolute or relative to `data_dir`, as it is now; or why it can't be sent.

    `own`: the folders below it that are the program's alone.
    """
    named = data_dir / text
    try:
        path = _allowed(named, data_dir, own)
        if path is None:
            return Failed(f"{text!r} 不能发送：只能发数据文件夹里的文件，程序自用的除外；请放进 {data_dir} 后重新创建")
        if not path.is_file():
            return Failed(f"没有这个文件：{text!r}；请检查路径，文件生成后重发")
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL character, links in a circle
        return Failed(f"{text!r} 不是可用的路径（{type(error).__name__}）；请检查后重新创建")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        return Retry(f"读不了文件 {text!r}（{type(error).__name__}），可能正被别的程序占用，稍后重试")
    return _judged(FileToSend(named.name, content))


def _allowed(named: Path, data_dir: Path, own: Sequence[Path]) -> Path | None:
    """`named` with all links followed, or None where it may not be sent.

    It is looked at by its name first: on Windows, merely to follow `\\\\server\\…` signs in to that server.
    """
    root = data_dir.resolve()
    if not (named.is_relative_to(data_dir) or named.is_relative_to(root)):
        return None
    path = named.resolve()
    if not path.is_relative_to(root) or any(path.is_relative_to(folder.resolve()) for folder in own):
        return None
    return None if any(part.startswith(".") for part in path.relative_to(root).parts) else path


def _judged(file: FileToSend) -> FileToSend | Failed:
    if file.content.startswith(SQLITE_MAGIC) or file.name.endswith(SQLITE_ENDINGS):
        return Failed(f"{file.name!r} 是数据库，不能发送；请改发 CSV 或 Excel 文件")
    if len(file.content) < SMALLEST_BYTES:
        return Failed(f"文件 {file.name!r} 是空的或不足 {SMALLEST_BYTES} 字节，企业微信不收；请检查后重发")
    if len(file.content) > LARGEST_BYTES:
        return Failed(f"文件 {file.name!r} 超过 20 MB，企业微信不收；请分成几个文件或压缩后再发")
    return file
