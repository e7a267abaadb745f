"""config/service_providers.yaml: which recipient hears of what concerns a service provider."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modules.campaigns import normalise_name
from modules.rewards.faults import Fault
from modules.settings import ROOT, yaml_in_words
from modules.system_words import reason_of

PROVIDERS_FILE = ROOT / "config" / "service_providers.yaml"


@dataclass(frozen=True)
class Providers:
    """Provider name, normalised → recipient key; and what there is to mend.

    What has a fault is left out: those in `spoilt`, or where the file can't be read at all, whoever it names (None).
    """

    recipient_of: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    spoilt: frozenset[str] | None = frozenset()

    def recipient(self, name: str) -> str | None:
        """Who hears of the provider of this name, however it is written; None where nobody is named."""
        return self.recipient_of.get(normalise_name(name))


def load_providers(path: Path, recipients: Container[str]) -> Providers:
    """The map of a YAML file (`name: recipient`), for the recipients that settings know. Never raises."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        return _unusable(path, f"读不到服务商名单（{reason_of(error)}），服务商的消息都会发给 ops")
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        return _unusable(path, f"读不懂服务商名单，应为“服务商名称: 收件人”：{yaml_in_words(error)}")
    if node is None:
        return Providers()
    if not isinstance(node, yaml.MappingNode):
        return _unusable(path, "应为“服务商名称: 收件人”，一行一个")
    found: dict[str, str] = {}
    faults: list[Fault] = []
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        name = normalise_name(_text(key_node))
        recipient = _text(value_node).strip()
        words = list(_wrong(name, recipient, recipients, lines.setdefault(name, line), line))
        faults += [Fault(f"{path} 第 {line} 行", text) for text in words]
        if not words:
            found[name] = recipient
    return Providers(found, tuple(faults), frozenset(lines) - found.keys())


def _wrong(name: str, recipient: str, known: Container[str], first_line: int, line: int) -> Iterator[str]:
    if not name:
        yield "没有写服务商名称，应为“服务商名称: 收件人”"
    elif not recipient:
        yield f"{name} 没有写收件人，应为 settings.yaml 里 recipients 的一个键"
    elif first_line != line:
        yield f"{name} 写了两次（第 {first_line} 行和第 {line} 行），只看第 {first_line} 行；请删去一处"
    elif recipient not in known:
        yield f"{name} 的收件人 {recipient!r} 不在 settings.yaml 的 recipients 里，请改正，或在那里加上"


def _text(node: Any) -> str:
    """As it is written: a name that looks like a number stays one digit by digit; nothing where it is no plain text."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _unusable(path: Path, text: str) -> Providers:
    return Providers(faults=(Fault(str(path), text),), spoilt=None)
