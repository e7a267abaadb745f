"""What the log is told when the configuration was read anew. Pure: two states → words."""

import logging
from collections.abc import Iterator, Mapping, Sequence

from modules.clock import format_moment
from modules.configuration import Configuration
from modules.live_configuration import Reread
from modules.rewards.faults import Fault

NAMED_AT_MOST = 5


def news(reread: Reread) -> list[tuple[int, str]]:
    """The lines of one re-reading, each with its level: what changed, what is wrong now and was not before, what has
    been mended."""
    before, after = reread.before, reread.after
    lines = [*_changes(before, after)]
    added = [str(fault) for fault in after.faults if fault not in before.faults]
    lines += [(logging.ERROR, f"配置有错：{fault}") for fault in added]
    told = _warnings(before)
    lines += [(logging.WARNING, f"配置提醒：{text}") for text in _warnings(after) if text not in told]
    going_on = kept_words(after)
    if added and going_on:
        lines.append((logging.WARNING, going_on))
    lines += [(logging.INFO, f"配置已改好：{fault}") for fault in _mended(before, after)]
    if before.faults and not after.faults:
        lines.append((logging.INFO, "配置的错误都已改好，全部按现在的文件运行"))
    return lines


def kept_words(configuration: Configuration) -> str:
    """What runs by an earlier version than the files; empty where nothing does."""
    return "；".join(kept_lines({name: format_moment(since) for name, since in configuration.kept.items()}))


def kept_lines(kept: Mapping[str, str]) -> list[str]:
    """`Configuration.kept`, its moments as text: a line for each part and moment, which names a few of its entries."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for name, moment in kept.items():
        part, _, key = name.partition(" ")
        grouped.setdefault((part, moment), []).append(key)
    return [f"{f'{part} {_some(keys)}'.strip()} 仍按 {moment} 的配置运行" for (part, moment), keys in grouped.items()]


def _some(names: Sequence[str]) -> str:
    named = "、".join(names[:NAMED_AT_MOST])
    return named if len(names) <= NAMED_AT_MOST else f"{named} 等 {len(names)} 个"


def removed(reread: Reread, part: str) -> Mapping[str, object]:
    """The entries of a part that are no longer in the files."""
    after = reread.after.found[part].valid
    return {key: entry for key, entry in reread.before.found[part].valid.items() if key not in after}


def _mended(before: Configuration, after: Configuration) -> list[Fault]:
    """The faults that are gone. Where a file can't be read now, of faults elsewhere than in the parts that can be read
    nobody knows whether they are gone or hidden."""
    gone = [fault for fault in before.faults if fault not in after.faults]
    readable = [title for title, found in after.found.items() if found.spoilt is not None]
    if len(readable) == len(after.found):
        return gone
    return [fault for fault in gone if any(fault in before.found[title].faults for title in readable)]


def _changes(before: Configuration, after: Configuration) -> Iterator[tuple[int, str]]:
    verbs: dict[str, list[str]] = {"新增": [], "改动": [], "删除": []}
    old, new = before.contents(), after.contents()
    for title in new:
        for key in dict.fromkeys([*new[title], *old[title]]):
            if old[title].get(key) != new[title].get(key):
                verb = "新增" if key not in old[title] else "删除" if key not in new[title] else "改动"
                verbs[verb].append(f"{title} {key}")
    told = "、".join(f"{verb} {'，'.join(names)}" for verb, names in verbs.items() if names)
    if told:
        yield logging.INFO, f"配置已重新读取：{told}"


def _warnings(configuration: Configuration) -> dict[str, None]:
    return dict.fromkeys(str(warning) for found in configuration.found.values() for warning in found.warnings)
