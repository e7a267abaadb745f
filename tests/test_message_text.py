"""Messages are cut where people would cut them, and nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.message_text import is_later_part, message_limit, split_message
from modules.recipients import SenderName

FAMILY = "👨‍👩‍👧‍👦"
THUMB = "👍🏽"
FLAG = "🇨🇳"
ACCENT = "e\u0301"
CHARACTERS = [*"签约a1 \t\n", "\r\n", FAMILY, THUMB, FLAG, "🇺🇸", ACCENT, "한", "\u200d", "🎉", "①"]

texts = st.text() | st.lists(st.sampled_from(CHARACTERS), max_size=120).map("".join)


def content(parts: list[str]) -> list[str]:
    """The parts without their numbering, which is checked."""
    if len(parts) == 1:
        return parts
    found = []
    for number, part in enumerate(parts, 1):
        numbering = f"({number}/{len(parts)})\n"
        assert part.startswith(numbering)
        found.append(part.removeprefix(numbering))
    return found


@given(texts, st.integers(min_value=20, max_value=200))
def test_the_parts_fit_and_give_the_text_back(text: str, limit: int) -> None:
    parts = split_message(text, limit)
    assert all(len(part.encode()) <= limit for part in parts)
    assert "".join(content(parts)) == text
    assert all(content(parts)) or text == ""


@given(st.lists(st.sampled_from([FAMILY, THUMB, FLAG, ACCENT, "约"]), min_size=1, max_size=60), st.integers(40, 90))
def test_no_character_is_cut(characters: list[str], limit: int) -> None:
    rest = list(characters)
    for part in content(split_message("".join(characters), limit)):
        while part:
            assert part.startswith(rest[0])
            part = part.removeprefix(rest.pop(0))
    assert rest == []


@pytest.mark.parametrize("text", ["", "签约成功\n", "a" * 2048, "约" * 682])
def test_a_text_that_fits_stays_as_it_is(text: str) -> None:
    assert split_message(text, 2048) == [text]


def test_one_byte_too_many_gives_two_parts() -> None:
    assert len(split_message("a" * 2049, 2048)) == 2


def test_cuts_at_the_end_of_a_line_which_keeps_its_newline() -> None:
    lines = ["一" * 10, "二" * 10, "三" * 10]
    assert split_message("\n".join(lines), 70) == [
        f"(1/2)\n{lines[0]}\n{lines[1]}\n",
        f"(2/2)\n{lines[2]}",
    ]


def test_a_line_that_fits_a_part_is_not_cut_to_fill_the_one_before() -> None:
    assert content(split_message("短\n" + "长" * 10 + "\n" + "尾" * 10, 40)) == ["短\n", "长" * 10 + "\n", "尾" * 10]


@pytest.mark.parametrize(("size", "count"), [(126, 9), (127, 11), (140, 12), (1188, 99), (1189, 119)])
def test_longer_numbering_takes_its_room(size: int, count: int) -> None:
    parts = split_message("a" * size, 20)
    assert len(parts) == count
    assert content(parts) == ["a" * len(part) for part in content(parts)]
    assert max(len(part) for part in parts) <= 20


def test_a_character_longer_than_a_part_is_cut_between_code_points() -> None:
    monster = "e" + "\u0301" * 50
    parts = split_message(monster, 30)
    assert "".join(content(parts)) == monster
    assert all(len(part.encode()) <= 30 for part in parts)


def test_a_limit_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        split_message("a" * 20, 9)


@pytest.mark.parametrize("sender", ["wecom_robot", "desktop_wecom", "desktop_wechat", "console", "apprise"])
def test_every_sender_has_a_limit(sender: SenderName) -> None:
    assert message_limit(sender) == 2048


def test_markdown_may_be_twice_as_long() -> None:
    assert message_limit("wecom_robot", "markdown") == 4096


@given(texts, st.integers(min_value=20, max_value=200))
def test_the_first_part_and_the_later_ones_are_told_apart(text: str, limit: int) -> None:
    parts = split_message(f"签约{text}", limit)
    assert [is_later_part(part) for part in parts] == [False] + [True] * (len(parts) - 1)


@pytest.mark.parametrize("message", ["(2/3)", "(2/3) 单", "见 (2/3)\n", "(二/三)\n", "(²/3)\n"])
def test_a_text_that_only_looks_numbered_is_whole(message: str) -> None:
    assert not is_later_part(message)
