"""What is wrong with a piece of configuration, in words that operations people can act on.

pydantic finds the faults; this module says them in Chinese, each with its path, the value and what would be
right. Settings and campaigns share it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

PathPart = str | int
Location = tuple[PathPart, ...]
"""Where something stands in a configuration: the keys, and in lists the places, that lead to it."""

_PATTERN_WORDS = {
    r"^$|^https?://": "以 http:// 或 https:// 开头",
    r"^https?://": "以 http:// 或 https:// 开头",
    r"^\w+$": "是模板的文件名，不带路径和扩展名",
    r"^[^,]*$": "不含英文逗号",
    r"^(1[0-9]{10}|\+[0-9]{6,15}|@all)$": "是 11 位手机号、带国家码的号码（+852…），或 @all",
}


@dataclass(frozen=True)
class Fault:
    """One fault (or warning): `path` says where, `text` says what is wrong and what would be right."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


class FaultsError(Exception):
    """A configuration with faults; `faults` holds all of them, the message one a line."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in faults))


def join_path(root: str, parts: Iterable[PathPart]) -> str:
    """`("tiers", 2, "name")` below `root` → `root.tiers[2].name`."""
    path = root
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    return next(iter(get_close_matches(word, sorted(known), n=1)), None)


def suggest(word: str, known: Iterable[str]) -> str:
    """`，是否想写 X？` for the nearest known name, else the list of names that are known."""
    names = sorted(known)
    near = nearest(word, names)
    if near:
        return f"，是否想写 {near}？"
    return f"，可用的键：{'、'.join(names)}" if names else ""


def known_keys(model: type[BaseModel], location: Sequence[PathPart]) -> list[str]:
    """What a person may write into the section at `location` below `model`; nothing where that is no section."""
    section = model_at(model, location)
    fields = section.model_fields if section else {}
    return [name for name, field in fields.items() if not field.json_schema_extra]  # the others are derived


def faults_of(
    error: ValidationError, model: type[BaseModel], path_of: Callable[[Sequence[PathPart]], str]
) -> list[Fault]:
    """Every fault of a failed validation of `model`, said in Chinese. `path_of` turns a location into a path."""
    return [_fault(item, model, path_of) for item in error.errors(include_url=False)]


def _fault(item: Any, model: type[BaseModel], path_of: Callable[[Sequence[PathPart]], str]) -> Fault:
    location: tuple[PathPart, ...] = tuple(item["loc"])
    kind: str = item["type"]
    value = item["input"]
    if kind == "extra_forbidden":
        return Fault(path_of(location), f"未知的键{suggest(str(location[-1]), known_keys(model, location[:-1]))}")
    if kind == "invalid_key" or location[-1:] == ("[key]",):
        return Fault(path_of([part for part in location if part != "[key]"]), "键应是文字，请加引号")
    if kind == "missing":
        return Fault(path_of(location), "缺少这一项，请补上")
    if kind == "value_error":
        return Fault(path_of(location), str(item["ctx"]["error"]))
    shown = "（内容不显示）" if _holds_secret(model, location) else repr(value)
    return Fault(path_of(location), f"{shown} {_expectation(kind, item.get('ctx') or {})}")


def _holds_secret(model: type[BaseModel], location: Sequence[PathPart]) -> bool:
    """Whether a secret stands here, or would stand in the section that belongs here."""
    section, around = model_at(model, location), model_at(model, location[:-1])
    fields = list(section.model_fields.values()) if section else []
    fields += [field for name, field in around.model_fields.items() if name in location[-1:]] if around else []
    return any(field.annotation is SecretStr for field in fields)


def _expectation(kind: str, context: dict[str, Any]) -> str:
    match kind:
        case "int_type" | "int_parsing" | "int_from_float":
            return "不是整数，应写整数"
        case "float_type" | "float_parsing" | "decimal_type" | "decimal_parsing" | "finite_number":
            return "不是数字，应写数字"
        case "string_type" | "string_unicode":
            return "不是文字，请加引号写成文字"
        case "bool_type" | "bool_parsing":
            return "应写 True 或 False"
        case "date_type" | "date_parsing" | "date_from_datetime_parsing" | "date_from_datetime_inexact":
            return "不是日期，应写成 2025-05-01 的形式"
        case "list_type" | "tuple_type":
            return "应是一个列表"
        case "dict_type" | "model_type" | "model_attributes_type":
            return "应是一组键和值"
        case "literal_error" | "enum":
            return f"不在可选之列，应为 {context['expected'].replace(' or ', ' 或 ')}"
        case "greater_than_equal":
            return f"太小，应不小于 {context['ge']:g}"
        case "greater_than":
            return f"太小，应大于 {context['gt']:g}"
        case "less_than_equal":
            return f"太大，应不大于 {context['le']:g}"
        case "string_pattern_mismatch":
            return f"写法不对，应{_PATTERN_WORDS.get(context['pattern'], '符合 ' + context['pattern'])}"
        case "string_too_short" | "too_short":
            return "不能为空"
        case _:
            return f"写法不对（{kind}）"


def model_at(model: type[BaseModel], location: Sequence[PathPart]) -> type[BaseModel] | None:
    """The model of the section at `location` below `model`, or of its items; None where that is no section."""
    annotation: Any = model
    for part in location:
        section = _model_in(annotation)
        if section is None:
            return None
        if isinstance(part, int) or _is_mapping(annotation):
            annotation = section  # an item of a list, or below a key that a person chose
            continue
        field = next((f for name, f in section.model_fields.items() if part in (name, f.alias)), None)
        annotation = field.annotation if field else None
    return _model_in(annotation)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = (_model_in(part) for part in get_args(annotation))
    return next((found for found in models if found is not None), None)


def _is_mapping(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)
