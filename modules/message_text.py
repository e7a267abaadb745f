"""How long a message may be, and how a longer one is cut. Pure."""

from collections.abc import Iterable, Iterator, Mapping

import regex

from modules.recipients import MessageFormat, SenderName

LIMITS: Mapping[SenderName, int] = {
    "wecom_robot": 2048,  # WeCom's limit for text messages
    "desktop_wecom": 2048,  # the apps take more; one limit means that a change of sender changes no message
    "desktop_wechat": 2048,
    "console": 2048,
    "apprise": 2048,  # channels differ, from 500 characters to none; this fits those that matter
}
"""Bytes of UTF-8 per message."""

MARKDOWN_LIMIT = 4096
"""WeCom's limit for markdown, in bytes of UTF-8."""

CODE_POINT_BYTES = 4  # the longest in UTF-8


_NUMBERING = regex.compile(r"\(([0-9]+)/[0-9]+\)\n")


def message_limit(sender: SenderName, message_format: MessageFormat = "text") -> int:
    """The longest message that `sender` takes, in bytes of UTF-8."""
    return MARKDOWN_LIMIT if message_format == "markdown" else LIMITS[sender]


def split_message(text: str, limit: int) -> list[str]:
    """`text` in parts of at most `limit` bytes of UTF-8 each, numbering included.

    A text that fits is the only part, unchanged. Otherwise each part begins with a line of its own, `(2/3)`, and
    ends at the end of a line where it can, else between two characters as people see them: no emoji is cut, unless
    it alone is longer than a part. A newline stays at the end of its line, so the parts without their numbering,
    one after the other, are the text again. Raises ValueError where `limit` is too small for numbered parts (20 is
    enough for 99,999 of them), UnicodeEncodeError where `text` holds half a surrogate pair.
    """
    if _size(text) <= limit:
        return [text]
    digits = 1
    while len(parts := _pack(text, limit - _size(_numbering("9" * digits, "9" * digits)))) >= 10**digits:
        digits += 1
    return [_numbering(number, len(parts)) + part for number, part in enumerate(parts, 1)]


def joined(parts: Iterable[str]) -> str:
    """The text that `split_message` has cut into these parts; one part that is no part stays as it is."""
    messages = list(parts)
    return messages[0] if len(messages) == 1 else "".join(_NUMBERING.sub("", part, count=1) for part in messages)


def is_later_part(message: str) -> bool:
    """Whether `message` is a part as `split_message` makes them, and not the first one."""
    numbering = _NUMBERING.match(message)
    return numbering is not None and int(numbering[1]) > 1


def _numbering(number: int | str, total: int | str) -> str:
    return f"({number}/{total})\n"


def _pack(text: str, room: int) -> list[str]:
    """As few parts of at most `room` bytes as taking the pieces in order gives."""
    if room < CODE_POINT_BYTES:
        raise ValueError("the limit is too small to number the parts of this text")
    parts = [""]
    taken = 0
    for piece in _pieces(text, room):
        size = _size(piece)
        if taken + size > room:
            parts.append("")
            taken = 0
        parts[-1] += piece
        taken += size
    return parts


def _pieces(text: str, room: int) -> Iterator[str]:
    """Lines; characters where a line has no room in a part; code points where a character has none."""
    for line in _whole_or(r"[^\n]*\n|[^\n]+", [text], room):
        yield from _whole_or(r".", _whole_or(r"\X", [line], room), room)


def _whole_or(pattern: str, pieces: Iterable[str], room: int) -> Iterator[str]:
    """Each piece that has room in a part, and the matches of `pattern` in each that has not."""
    for piece in pieces:
        if _size(piece) <= room:
            yield piece
        else:
            yield from regex.findall(pattern, piece)


def _size(text: str) -> int:
    return len(text.encode())
