"""config/service_providers.yaml: read whole, faults told with their line, and what is faulty left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.service_providers import PROVIDERS_FILE, Providers, load_providers
from modules.settings import ROOT, load_settings

KNOWN = ("bj_group", "sh_group", "ops")


def read(tmp_path: Path, text: str) -> Providers:
    path = tmp_path / "providers.yaml"
    path.write_text(text, encoding="utf-8")
    return load_providers(path, KNOWN)


def test_the_shipped_file_is_sound_with_the_shipped_settings() -> None:
    recipients = load_settings(environ={}, root=ROOT / "config").recipients
    providers = load_providers(PROVIDERS_FILE, recipients)
    assert providers.faults == ()
    assert providers.recipient_of


def test_a_name_is_found_however_it_is_written(tmp_path: Path) -> None:
    providers = read(tmp_path, "北京燕归来装饰: bj_group\n'Cafe\u0301 装饰 ': sh_group\n10086: ops\n")
    assert providers.faults == ()
    assert providers.recipient(" 北京燕归来装饰\t") == "bj_group"
    assert providers.recipient("Caf\u00e9 装饰") == "sh_group"
    assert providers.recipient("10086") == "ops"
    assert providers.recipient("北京别家装饰") is None
    assert providers.recipient("") is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("乙: nobody", "乙 的收件人 'nobody' 不在 settings.yaml 的 recipients 里"),
        ("乙:", "乙 没有写收件人"),
        ("乙: [bj_group]", "乙 没有写收件人"),
        ("'': bj_group", "没有写服务商名称"),
        ("'甲 ': ops", "甲 写了两次（第 1 行和第 2 行），只看第 1 行"),
    ],
)
def test_a_faulty_line_is_told_and_left_out(tmp_path: Path, line: str, words: str) -> None:
    providers = read(tmp_path, f"甲: bj_group\n{line}\n丙: sh_group\n")
    assert providers.recipient_of == {"甲": "bj_group", "丙": "sh_group"}
    (fault,) = providers.faults
    assert fault.path.endswith("providers.yaml 第 2 行")
    assert words in fault.text


@pytest.mark.parametrize("text", ["甲: [", "- 甲\n", "甲\n"])
def test_a_file_that_is_no_map_is_one_fault(tmp_path: Path, text: str) -> None:
    providers = read(tmp_path, text)
    assert not providers.recipient_of
    assert len(providers.faults) == 1


def test_an_empty_file_names_nobody_and_a_missing_one_is_a_fault(tmp_path: Path) -> None:
    assert read(tmp_path, "# 还没有\n") == Providers()
    (fault,) = load_providers(tmp_path / "none.yaml", KNOWN).faults
    assert "读不到服务商名单" in fault.text


def test_a_file_of_another_encoding_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "gbk.yaml"
    path.write_bytes("甲: bj_group\n".encode("gbk"))
    assert "读不懂服务商名单" in load_providers(path, KNOWN).faults[0].text
