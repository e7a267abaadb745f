"""Message templates: Jinja2, sandboxed, under config/templates/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from modules.settings import ROOT

TEMPLATES_DIR = ROOT / "config" / "templates"


class MessageTemplateError(Exception):
    """A template is missing or fails to render; the message says which and why."""


class Templates:
    """Renders the templates of a folder. A name they use that is not given is an error, not a blank."""

    def __init__(self, folder: Path = TEMPLATES_DIR) -> None:
        self._environment = SandboxedEnvironment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # the output is chat text, not HTML
        )

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """The text of template `name` (without `.j2`), never empty. Raises MessageTemplateError."""
        try:
            text = self._environment.get_template(f"{name}.j2").render(values).strip()
        except Exception as error:  # a template is the user's code: whatever it raises is a fault of the template
            words = " ".join(str(error).split()) or type(error).__name__
            raise MessageTemplateError(f"模板 config/templates/{name}.j2：{words}") from error
        if not text:
            raise MessageTemplateError(f"模板 config/templates/{name}.j2：没有写出任何文字")
        return text
