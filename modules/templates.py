"""Message templates: Jinja2, sandboxed, read from config/templates/ into memory at once."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, StrictUndefined, TemplateError, TemplateNotFound
from jinja2.sandbox import SandboxedEnvironment

from modules.rewards.faults import Fault
from modules.settings import ROOT
from modules.system_words import reason_of

TEMPLATES_DIR = ROOT / "config" / "templates"


class MessageTemplateError(Exception):
    """A template is missing or fails to render; the message says which and why."""


class Templates:
    """Renders templates as they were read. A name they use that is not given is an error, not a blank.

    `sources`: file name → text. `unreadable`: the files that have none, as faults.
    """

    def __init__(self, sources: Mapping[str, str], unreadable: tuple[Fault, ...] = ()) -> None:
        self.sources = dict(sources)
        self.unreadable = unreadable
        self._environment = SandboxedEnvironment(
            loader=DictLoader(self.sources),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # the output is chat text, not HTML
        )

    @classmethod
    def read(cls, folder: Path = TEMPLATES_DIR) -> "Templates":
        """All templates of a folder and those below it."""
        sources, unreadable = {}, []
        for path in template_files(folder):
            name = path.relative_to(folder).as_posix()
            try:
                sources[name] = path.read_text(encoding="utf-8-sig")  # Notepad may put a mark before the text
            except OSError as error:
                unreadable.append(Fault(_place(name), f"读不到模板（{reason_of(error)}）"))
            except UnicodeDecodeError:
                unreadable.append(Fault(_place(name), "不是 UTF-8 编码；请用记事本另存为，编码选 UTF-8"))
        return cls(sources, tuple(unreadable))

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """The text of template `name` (without `.j2`), never empty. Raises MessageTemplateError."""
        try:
            text = self._environment.get_template(f"{name}.j2").render(values).strip()
        except TemplateNotFound as error:
            raise MessageTemplateError(f"模板 config/templates/{name}.j2：没有 {error.name} 这个文件") from error
        except Exception as error:  # a template is the user's code: whatever it raises is a fault of the template
            words = " ".join(str(error).split()) or type(error).__name__
            raise MessageTemplateError(f"模板 config/templates/{name}.j2：{words}") from error
        if not text:
            raise MessageTemplateError(f"模板 config/templates/{name}.j2：没有写出任何文字")
        return text

    def failures(self, samples: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        """Why templates (by name) fail on these sample values."""
        for name, values in samples.items():
            try:
                self.render(name, values)
            except MessageTemplateError as error:
                yield str(error)

    def faults_on(self, samples: Iterable[Mapping[str, Mapping[str, Any]]]) -> list[Fault]:
        """Everything that is wrong, each template's fault once: in the files, and on these sample values."""
        faults = list(self.faults())
        told = tuple(f"模板 {fault.path}：" for fault in faults)
        failing = dict.fromkeys(words for some in samples for words in self.failures(some))
        return faults + [Fault("config/templates", words) for words in failing if not words.startswith(told)]

    def faults(self) -> Iterator[Fault]:
        """The files that can't be read, and those that are no templates, whoever uses them."""
        yield from self.unreadable
        for name in self.sources:
            try:
                self._environment.get_template(name)
            except TemplateError as error:
                line = getattr(error, "lineno", None)
                place = f"第 {line} 行有" if line else "有"
                yield Fault(_place(name), f"{place}语法错误：{' '.join(str(error).split())}")


def template_files(folder: Path = TEMPLATES_DIR) -> list[Path]:
    """The templates of a folder; hidden files are an editor's own."""
    return sorted(path for path in folder.rglob("*.j2") if not path.name.startswith("."))


def _place(name: str) -> str:
    return f"config/templates/{name}"
