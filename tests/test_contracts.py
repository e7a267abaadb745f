"""From source rows to contracts: columns by name, ids as text, unusable rows set aside with their reason."""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from typing import Any

import pandas as pd
import pytest

from modules.contracts import (
    REQUIRED_COLUMNS,
    ColumnsError,
    Contracts,
    find_columns,
    is_self_referral,
    parse_contracts,
)

GOOD: dict[str, Any] = {
    "_id": "1978652301234567890",
    "serviceHousekeeper": "周小满",
    "contractdocNum": "YHWX-BJ-1",
    "adjustRefundMoney": "12345.60",
    "orgName": "甲家修",
    "signedDate": "2025-05-20 12:00:00",
    "serviceAppointmentNum": "GD2025001",
}


def parsed(*rows: dict[str, Any], **also: Any) -> Contracts:
    """Each row is GOOD with these changes."""
    whole = [{**GOOD, **also, **row} for row in rows]
    columns = list(whole[0])
    return parse_contracts(columns, [[row[name] for name in columns] for row in whole])


def only(*rows: dict[str, Any], **also: Any) -> dict[str, Any]:
    """The single contract that comes of these rows."""
    contracts = parsed(*rows, **also)
    assert contracts.rejected == ()
    (contract,) = contracts.frame.to_dict("records")
    return contract


def test_a_row_becomes_a_contract() -> None:
    contract = only({}, sourceType=1, projectAddress=" 朝阳区 1 号 ", Status="已签约")
    source = contract.pop("source")
    assert contract == {
        "contract_id": "1978652301234567890",
        "housekeeper": "周小满",
        "provider": "甲家修",
        "contract_number": "YHWX-BJ-1",
        "project": "GD2025001",
        "address": "朝阳区 1 号",
        "signed_at": pd.Timestamp("2025-05-20 12:00:00"),
        "amount": 1234560,
        "self_referral": True,
    }
    record = json.loads(source)
    assert record == {**GOOD, "sourceType": "1", "projectAddress": "朝阳区 1 号", "Status": "已签约"}


def test_no_rows_are_no_contracts() -> None:
    contracts = parse_contracts(REQUIRED_COLUMNS, [])
    assert len(contracts.frame) == 0
    assert (contracts.rejected, contracts.duplicates, contracts.shown_ids()) == ((), 0, frozenset())


class TestColumns:
    @pytest.mark.parametrize("dressed", ["{}", "合同ID({})", "合同ID（{}）", " 某列 ( {} ) ", "金额(元)({})"])
    def test_are_found_by_name(self, dressed: str) -> None:
        titles = [dressed.format(name) for name in REQUIRED_COLUMNS]
        contracts = parse_contracts(titles, [[GOOD[name] for name in REQUIRED_COLUMNS]])
        assert contracts.frame["contract_id"].tolist() == [GOOD["_id"]]
        assert contracts.frame["amount"].tolist() == [1234560]

    def test_may_stand_in_any_order_among_others(self) -> None:
        titles = ["无关(x)", *reversed(REQUIRED_COLUMNS), "又一列"]
        row = ["?", *(GOOD[name] for name in reversed(REQUIRED_COLUMNS)), "?"]
        assert parse_contracts(titles, [row]).frame["housekeeper"].tolist() == ["周小满"]

    @pytest.mark.parametrize("name", REQUIRED_COLUMNS)
    def test_a_missing_one_is_named_with_what_is_there(self, name: str) -> None:
        titles = [f"列({other})" for other in REQUIRED_COLUMNS if other != name]
        with pytest.raises(ColumnsError) as error:
            find_columns(titles, REQUIRED_COLUMNS)
        missing, there = str(error.value).split("；")[:2]
        assert missing == f"源数据缺少列：{name}"
        assert all(title in there for title in titles)

    def test_all_missing_ones_are_named(self) -> None:
        with pytest.raises(ColumnsError, match="缺少列：orgName、signedDate；"):
            find_columns([name for name in REQUIRED_COLUMNS if name not in {"orgName", "signedDate"}], REQUIRED_COLUMNS)

    def test_a_renamed_one_is_missing(self) -> None:
        with pytest.raises(ColumnsError, match="缺少列：_id；现有的列：id、"):
            find_columns(["id", *REQUIRED_COLUMNS[1:]], REQUIRED_COLUMNS)

    def test_an_enabled_section_can_need_more(self) -> None:
        with pytest.raises(ColumnsError, match="缺少列：sourceType；"):
            parse_contracts(REQUIRED_COLUMNS, [], also_required=["sourceType"])


class TestIds:
    @pytest.mark.parametrize("written", [1978652301234567890, "1978652301234567890", " 1978652301234567890\n"])
    def test_of_19_digits_survive_as_number_and_as_text(self, written: object) -> None:
        assert only({"_id": written})["contract_id"] == "1978652301234567890"

    def test_that_differ_in_the_last_digit_are_two(self) -> None:
        contracts = parsed({"_id": 1978652301234567890}, {"_id": 1978652301234567891})
        assert contracts.shown_ids() == {"1978652301234567890", "1978652301234567891"}
        assert contracts.duplicates == 0


class TestNames:
    @pytest.mark.parametrize("written", [" 周小满", "周小满\u3000", "\t周小满\n", "周小满\u00a0"])
    def test_are_stripped(self, written: str) -> None:
        assert only({"serviceHousekeeper": written})["housekeeper"] == "周小满"
        assert only({"orgName": written})["provider"] == "周小满"

    def test_are_nfc_normalised(self) -> None:
        decomposed, composed = "Rene\u0301", "Ren\u00e9"
        assert only({"serviceHousekeeper": decomposed})["housekeeper"] == composed
        assert only({"orgName": decomposed})["provider"] == composed

    def test_a_number_is_a_name_too(self) -> None:
        assert only({"serviceHousekeeper": 10086})["housekeeper"] == "10086"


class TestAmounts:
    @pytest.mark.parametrize(
        ("written", "fen"),
        [("1,234.00", 123400), (1234, 123400), (9999.99, 999999), ("0", 0), (0, 0), ("0.005", 1), ("0.0049", 0)],
    )
    def test_are_exact_fen(self, written: object, fen: int) -> None:
        assert only({"adjustRefundMoney": written})["amount"] == fen

    @pytest.mark.parametrize(
        ("written", "reason"),
        [
            (None, "为空"),
            ("", "为空"),
            ("待定", "不是数字"),
            ("NaN", "不是数字"),
            (float("nan"), "不是数字"),
            ("Infinity", "不是数字"),
            (float("inf"), "不是数字"),
            (True, "不是数字"),
            ("-0.01", "是负数"),
            (-500, "是负数"),
            ("99999999999", "太大"),
            (1e300, "太大"),
        ],
    )
    def test_that_cannot_be_used_reject_the_row(self, written: object, reason: str) -> None:
        contracts = parsed({"adjustRefundMoney": written}, {"_id": "good"})
        (rejected,) = contracts.rejected
        assert rejected.contract_id == GOOD["_id"]
        assert rejected.reason.startswith("合同金额 adjustRefundMoney")
        assert reason in rejected.reason
        assert contracts.frame["contract_id"].tolist() == ["good"]


class TestDates:
    @pytest.mark.parametrize(
        ("written", "shanghai"),
        [
            ("2025-05-20", "2025-05-20 00:00:00"),
            ("2025-05-20 12:30:15", "2025-05-20 12:30:15"),
            ("2025-05-20T12:30:15.250", "2025-05-20 12:30:15.250"),
            ("2025/05/20 12:30", "2025-05-20 12:30:00"),
            ("2025-05-20T12:00:00+08:00", "2025-05-20 12:00:00"),
            ("2025-05-31T16:00:00Z", "2025-06-01 00:00:00"),
            ("2025-05-20T00:00:00-05:00", "2025-05-20 13:00:00"),
        ],
    )
    def test_are_shanghai_time(self, written: str, shanghai: str) -> None:
        assert only({"signedDate": written})["signed_at"] == pd.Timestamp(shanghai)

    @pytest.mark.parametrize("written", [None, "", "昨天", "2025-02-30", "2025-05-20 25:00", 45797, 1747713600000])
    def test_that_cannot_be_read_reject_the_row(self, written: object) -> None:
        (rejected,) = parsed({"signedDate": written}).rejected
        assert "签约时间 signedDate" in rejected.reason
        assert "读不懂" in rejected.reason


class TestRejected:
    @pytest.mark.parametrize("empty", [None, "", "   ", float("nan")])
    def test_without_id(self, empty: object) -> None:
        (rejected,) = parsed({"_id": empty}).rejected
        assert (rejected.contract_id, rejected.reason) == ("", "没有合同ID（_id 为空）")

    @pytest.mark.parametrize("empty", [None, "", " \u3000", float("nan")])
    def test_without_housekeeper(self, empty: object) -> None:
        (rejected,) = parsed({"serviceHousekeeper": empty}).rejected
        assert (rejected.contract_id, rejected.reason) == (GOOD["_id"], "没有管家（serviceHousekeeper 为空）")

    def test_every_other_row_goes_on(self) -> None:
        contracts = parsed({"_id": "a"}, {"_id": ""}, {"_id": "b", "signedDate": "?"}, {"_id": "c"})
        assert sorted(contracts.frame["contract_id"]) == ["a", "c"]
        assert [rejected.contract_id for rejected in contracts.rejected] == ["", "b"]

    def test_its_id_is_still_shown_so_that_it_does_not_count_as_cancelled(self) -> None:
        contracts = parsed({"_id": "a"}, {"_id": "b", "adjustRefundMoney": "待定"}, {"_id": ""})
        assert contracts.shown_ids() == {"a", "b"}

    def test_the_same_row_and_reason_have_one_fingerprint(self) -> None:
        bad, again = {"adjustRefundMoney": "待定"}, {"adjustRefundMoney": "待定"}
        other, changed = {"adjustRefundMoney": "待议"}, {"adjustRefundMoney": "待定", "orgName": "乙家修"}
        prints = [parsed(row).rejected[0].fingerprint for row in (bad, again, other, changed)]
        assert prints[0] == prints[1]
        assert len(set(prints)) == 3


class TestDuplicates:
    LATER = {"signedDate": "2025-05-21", "adjustRefundMoney": "1", "contractdocNum": "A"}  # noqa: RUF012
    DEARER = {"signedDate": "2025-05-20", "adjustRefundMoney": "9", "contractdocNum": "A"}  # noqa: RUF012
    NUMBER_C = {"signedDate": "2025-05-20", "adjustRefundMoney": "8", "contractdocNum": "C"}  # noqa: RUF012
    KEPT = {"signedDate": "2025-05-20", "adjustRefundMoney": "8", "contractdocNum": "B"}  # noqa: RUF012

    def test_the_first_by_time_amount_and_number_is_kept_whatever_the_order(self) -> None:
        for rows in itertools.permutations([self.LATER, self.DEARER, self.NUMBER_C, self.KEPT]):
            contracts = parsed(*rows)
            (kept,) = contracts.frame.to_dict("records")
            assert (kept["signed_at"], kept["amount"], kept["contract_number"]) == (datetime(2025, 5, 20), 800, "B")  # noqa: DTZ001
            assert contracts.duplicates == 3

    def test_amounts_are_compared_as_numbers(self) -> None:
        (kept,) = parsed({"adjustRefundMoney": "1000"}, {"adjustRefundMoney": "9"}).frame.to_dict("records")
        assert kept["amount"] == 900

    def test_that_differ_are_named_and_equal_ones_not(self) -> None:
        contracts = parsed({"_id": "same"}, {"_id": "same"}, {"_id": "other"}, {"_id": "other", "orgName": "乙家修"})
        assert (contracts.duplicates, contracts.differing) == (2, ("other",))

    def test_even_rows_that_differ_elsewhere_give_one_result(self) -> None:
        rows = [{"orgName": "甲家修"}, {"orgName": "乙家修"}, {"orgName": "丙家修"}]
        kept = {parsed(*order).frame["provider"].item() for order in itertools.permutations(rows)}
        assert len(kept) == 1

    def test_a_usable_row_is_kept_beside_an_unusable_one(self) -> None:
        contracts = parsed({"signedDate": "?"}, {})
        assert contracts.frame["contract_id"].tolist() == [GOOD["_id"]]
        assert len(contracts.rejected) == 1


@pytest.mark.parametrize(
    ("source_type", "own"), [("1", True), ("1.0", True), ("2", False), ("", False), ("11", False), ("10", False)]
)
def test_source_type_1_is_self_referral(source_type: str, own: bool) -> None:
    assert is_self_referral(source_type) is own
