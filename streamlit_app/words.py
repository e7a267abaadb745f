"""The terms of the field, in Chinese on screen."""

import re
from collections.abc import Mapping

from modules.job_runs import OUTCOME_WORDS
from streamlit_app import reading

OUTCOMES: Mapping[str, str] = {**OUTCOME_WORDS, "": "未结束", "unfinished": "未结束"}
"""How a run of a job ended."""


_MARKS = re.compile(r"[\\`*{}\[\]<>#~$|!&]|(?<!\w)_|_(?!\w)|:(?=[A-Za-z])")
"""What Markdown could take for its own."""


def plain(text: str) -> str:
    """For where Streamlit reads Markdown: names, reasons and errors as they are.

    They come from outside: an image in them would be fetched from wherever it lies, by everybody who looks.
    """
    return _MARKS.sub(r"\\\g<0>", text)


def headed(title: str, *about: str) -> str:
    """A heading, and behind it in grey what is known about it; where it does not fit, it breaks between these."""
    return "　".join([plain(title), *(f":gray[{plain(words)}]" for words in about)])


def recipient_name(key: str) -> str:
    """The chat's name, where settings know it."""
    known = reading.settings().recipients.get(key)
    return f"{known.name}（{key}）" if known else key


def month_words(month: str) -> str:
    """`2025-05` → `2025 年 5 月`."""
    year, _, number = month.partition("-")
    return f"{year} 年 {int(number)} 月"


def pixels_of(text: str) -> int:
    """About as wide as a browser draws it in 14 pixels: Chinese has three bytes, and is as wide as it is high."""
    chinese = (len(text.encode()) - len(text)) // 2
    return 14 * chinese + 8 * (len(text) - chinese)
