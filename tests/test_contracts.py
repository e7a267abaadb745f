"""From source rows to contracts: columns by name, ids as text, unusable rows set aside with their reason."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules import contracts as contracts_module
from modules.clock import parse_moment
from modules.contract_columns import column_moments, column_texts
from modules.contracts import (
    PARENT_COLUMN,
    REQUIRED_COLUMNS,
    SOURCE_COLUMNS,
    ColumnsError,
    Contracts,
    find_columns,
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
    assert only({}, sourceType=1, projectAddress=" 朝阳区 1 号 ", Status="已签约", pcContractdocNum="PC1") == {
        "contract_id": "1978652301234567890",
        "housekeeper": "周小满",
        "provider": "甲家修",
        "contract_number": "YHWX-BJ-1",
        "project": "GD2025001",
        "address": "朝阳区 1 号",
        "signed_at": pd.Timestamp("2025-05-20 12:00:00"),
        "amount": 1234560,
        "self_referral": True,
        "source_type": "1",
        "historical": True,
        "row": 0,
    }


def test_no_rows_are_no_contracts() -> None:
    contracts = parse_contracts(REQUIRED_COLUMNS, [])
    assert len(contracts.frame) == 0
    assert (contracts.rejected, contracts.duplicates, contracts.shown_ids()) == ((), 0, frozenset())
    assert contracts.with_sources(contracts.frame)["source"].tolist() == []


@pytest.mark.parametrize("rows", [[], [{}]])
def test_the_columns_have_their_types_with_and_without_rows(rows: list[dict[str, Any]]) -> None:
    columns = [*GOOD, "sourceType"]
    frame = parse_contracts(columns, [[{**GOOD, "sourceType": 1}[name] for name in columns] for _ in rows]).frame
    kinds = {str(kind): set(frame.columns[frame.dtypes == kind]) for kind in frame.dtypes}
    assert kinds.pop("object") > {"contract_id", "housekeeper", "provider", "source_type"}
    assert kinds == {
        "datetime64[us]": {"signed_at"},
        "int64": {"amount", "row"},
        "bool": {"self_referral", "historical"},
    }


class TestSources:
    def test_are_json_text_of_what_the_source_shows(self) -> None:
        contracts = parsed({"Status": '"好"\\\n', "conversion": 0.5, "average": None, "projectAddress": "50%s{}"})
        (source,) = contracts.with_sources(contracts.frame)["source"]
        shown = {**GOOD, "Status": '"好"\\', "conversion": "0.5", "average": "", "projectAddress": "50%s{}"}
        in_order = {name: shown[name] for name in SOURCE_COLUMNS if name in shown}
        assert source == json.dumps(in_order, ensure_ascii=False, separators=(",", ":"))

    def test_belong_to_the_rows_asked_for_and_keep_their_index(self) -> None:
        contracts = parsed({"_id": "a"}, {"_id": "?", "signedDate": "?"}, {"_id": "b"}, {"_id": "c"})
        assert contracts.frame["row"].tolist() == [0, 2, 3]
        part = contracts.frame[contracts.frame["contract_id"].isin(["b", "c"])].iloc[::-1]
        with_sources = contracts.with_sources(part)
        assert [json.loads(source)["_id"] for source in with_sources["source"]] == ["c", "b"]
        pd.testing.assert_frame_equal(with_sources.drop(columns="source"), part)
        assert with_sources["source"].dtype == "object"
        assert "source" not in contracts.frame

    def test_are_not_made_of_rows_that_nobody_asks_for(self) -> None:
        class Untouchable:
            def __str__(self) -> str:
                raise AssertionError("made text of a row without need")

        contracts = parsed({"_id": "a", "Status": Untouchable()}, {"_id": "b", "Status": ""}, {"_id": "b", "Status": 1})
        assert contracts.shown_ids() == {"a", "b"}
        assert contracts.differing == ("b",)

    def test_have_the_parent_contract_last_where_there_is_such_a_column(self) -> None:
        contracts = parsed({PARENT_COLUMN: "PC1"}, {"_id": "b", PARENT_COLUMN: None}, projectAddress="x")
        sources = [json.loads(source) for source in contracts.with_sources(contracts.frame)["source"]]
        assert [list(source)[-2:] for source in sources] == [["projectAddress", PARENT_COLUMN]] * 2
        assert [source[PARENT_COLUMN] for source in sources] == ["PC1", ""]
        assert PARENT_COLUMN not in SOURCE_COLUMNS
        assert PARENT_COLUMN not in json.loads(parsed({"signedDate": "?"}).rejected[0].source)


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
        with pytest.raises(ColumnsError, match="缺少列：pcContractdocNum；"):
            parse_contracts([*REQUIRED_COLUMNS, *SOURCE_COLUMNS], [], also_required=[PARENT_COLUMN])
        parse_contracts([*REQUIRED_COLUMNS, f"上级合同({PARENT_COLUMN})"], [], also_required=[PARENT_COLUMN])


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

    @pytest.mark.parametrize(
        "written",
        [
            *(None, "", "昨天", "2025-02-30", "2025-05-20 25:00", 45797, 1747713600000),
            *("9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"),  # beyond the calendar in Shanghai
        ],
    )
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
        bad, other = {"adjustRefundMoney": "待定"}, {"adjustRefundMoney": "待议"}
        moved, another = bad | {"orgName": "乙家修", "average": "9"}, bad | {"_id": "b"}
        prints = [parsed(row).rejected[0].fingerprint for row in (bad, moved, other, another)]
        assert prints[0] == prints[1]
        assert len(set(prints)) == 3

    def test_without_an_id_a_row_is_known_by_what_is_required_of_it(self) -> None:
        nameless = {"_id": ""}
        moved, another = nameless | {"average": "9"}, nameless | {"orgName": "乙家修"}
        prints = [parsed(row).rejected[0].fingerprint for row in (nameless, moved, another)]
        assert prints[0] == prints[1]
        assert len(set(prints)) == 2


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

    def test_the_contract_number_decides_before_the_rest_of_the_row(self) -> None:
        rows = [{"contractdocNum": "A", "Status": "Z"}, {"contractdocNum": "B", "Status": "A"}]
        for order in itertools.permutations(rows):
            assert parsed(*order).frame["contract_number"].tolist() == ["A"]

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

    def test_that_differ_in_the_parent_contract_differ(self) -> None:
        contracts = parsed({PARENT_COLUMN: ""}, {PARENT_COLUMN: "PC1"})
        assert contracts.differing == (GOOD["_id"],)

    def test_the_kept_row_is_told(self) -> None:
        contracts = parsed({"_id": "a"}, self.LATER, self.KEPT, {"_id": "b"})
        assert sorted(contracts.frame["row"]) == [0, 2, 3]

    def test_preferred_ones_come_before_all_others(self) -> None:
        rows = [[{**GOOD, **row}[name] for name in GOOD] for row in (self.KEPT, self.LATER)]
        contracts = parse_contracts(
            list(GOOD), rows, preferred=lambda frame: frame["signed_at"] >= pd.Timestamp("2025-05-21")
        )
        assert contracts.frame["row"].tolist() == [1]
        assert contracts.duplicates == 1


@pytest.mark.parametrize(
    ("written", "source_type", "own"),
    [
        (1, "1", True),
        ("1", "1", True),
        (1.0, "1", True),
        ("1.0", "1", True),
        (" 1 ", "1", True),
        (2, "2", False),
        (2.0, "2", False),
        (None, "", False),
        (float("nan"), "", False),
        (11, "11", False),
        ("10", "10", False),
        (1.5, "1.5", False),
        (True, "true", False),
    ],
)
def test_source_type_1_is_self_referral(written: object, source_type: str, own: bool) -> None:
    contract = only({"sourceType": written})
    assert (contract["source_type"], contract["self_referral"]) == (source_type, own)


def test_without_a_source_type_a_row_is_platform() -> None:
    assert (only({})["source_type"], only({})["self_referral"]) == ("", False)


@pytest.mark.parametrize(
    ("written", "historical"),
    [("PC1", True), (12345, True), (0, True), ("", False), (" \u3000", False), (None, False), (float("nan"), False)],
)
@pytest.mark.parametrize("title", [PARENT_COLUMN, f"上级合同({PARENT_COLUMN})"])
def test_a_row_with_a_parent_contract_is_historical(title: str, written: object, historical: bool) -> None:
    assert only({title: written})["historical"] is historical


def test_without_a_column_of_parent_contracts_no_row_is_historical() -> None:
    assert only({})["historical"] is False


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    contracts = parsed({"serviceHousekeeper": "周\ud83d小满"}, {"_id": "b\udc00"}, {"_id": "c\ud83d", "signedDate": ""})
    assert contracts.frame["housekeeper"].tolist() == ["周?小满", "周小满"]
    assert contracts.shown_ids() == {GOOD["_id"], "b?", "c?"}
    assert [json.loads(source)["_id"] for source in contracts.with_sources(contracts.frame)["source"]][1] == "b?"


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        (("_id", "serviceHousekeeper", "adjustRefundMoney", "signedDate"), "没有合同ID（_id 为空）"),
        (("serviceHousekeeper", "adjustRefundMoney", "signedDate"), "没有管家（serviceHousekeeper 为空）"),
        (("adjustRefundMoney", "signedDate"), "合同金额 adjustRefundMoney 为空"),
        (("signedDate",), "签约时间 signedDate '' 读不懂，应像 2025-05-20T12:00:00"),
    ],
)
def test_of_several_faults_the_first_is_told(faults: tuple[str, ...], told: str) -> None:
    (rejected,) = parsed(dict.fromkeys(faults, "")).rejected
    assert rejected.reason == told


ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec=None), max_size=6),
    st.sampled_from([pd.NA, "\ud83d", "张三 ", "1,234.50", 1978652301234567890, "2025-05-20T00:00:00+08:00"]),
)
OFFSETS = st.sampled_from(["", "+08:00", "Z", "-05:00", "+0800", "+08", "+08:00:00", " +08:00", "+08:00+08:00"])
ODD_MOMENTS = st.one_of(
    st.datetimes().map(datetime.isoformat),
    st.datetimes(timezones=st.just(timezone(timedelta(hours=8)))).map(datetime.isoformat),
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["2025", "1992", "1991", "1988", "1940", "0001", "9999"]),
        st.sampled_from(["-05-20", "/07/20", "0520", "-W20-1", "W201", "-W20", "-02-30", "-12-31", "-01-01"]),
        st.sampled_from(["T", " ", "", "/", "-", "+", "年"]),
        st.sampled_from(["", "12", "12:30", "123015", "12:30:15.2501234", "00:00:00", "23:59:59.999999", "24:00"]),
        OFFSETS,
    ),
    st.text("0123456789-:T+Z/ W.", max_size=26).map(str.strip),
)


def one_text(value: object) -> str:
    """Text of a value, by the letter of the rule."""
    if value is None or value is pd.NA or value != value:
        return ""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    return text.strip().encode("utf-8", "replace").decode()


def one_moment(text: str) -> datetime | None:
    """Shanghai time without zone of a text alone; None where it can't be read."""
    try:
        return parse_moment(text).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


class TestColumnReaders:
    @given(st.lists(ODD_VALUES))
    def test_texts_are_those_of_the_values_one_by_one(self, values: list[object]) -> None:
        assert column_texts(values) == [one_text(value) for value in values]

    @given(st.lists(ODD_MOMENTS))
    def test_moments_are_those_of_the_texts_one_by_one(self, texts: list[str]) -> None:
        moments, unreadable = column_moments(texts)
        read = [None if row in unreadable else moment for row, moment in enumerate(moments)]
        assert read == [one_moment(text) for text in texts]
        assert unreadable == {row: texts[row] for row, moment in enumerate(read) if moment is None}

    @pytest.mark.parametrize(
        ("written", "shanghai"),
        [
            ("1988-07-01T12:00:00+08:00", datetime(1988, 7, 1, 13)),  # noqa: DTZ001 - daylight saving time
            ("1991-12-31T23:59:59+08:00", datetime(1991, 12, 31, 23, 59, 59)),  # noqa: DTZ001
            ("2025-05-20+08:00", datetime(2025, 5, 20, 8)),  # noqa: DTZ001 - the + stands where the T does
            ("20250520/1230", datetime(2025, 5, 20, 12, 30)),  # noqa: DTZ001
        ],
    )
    def test_moments_of_odd_texts(self, written: str, shanghai: datetime) -> None:
        assert column_moments([written]) == ([shanghai], {})

    @given(st.lists(st.tuples(st.sampled_from("abc"), ODD_VALUES, ODD_VALUES, ODD_MOMENTS), max_size=12))
    def test_rows_read_in_batches_are_the_rows_read_at_once(self, odd: list[tuple[object, ...]]) -> None:
        names = ("_id", "serviceHousekeeper", "adjustRefundMoney", "signedDate")
        rows = [{"orgName": "", **dict(zip(names, values, strict=True))} for values in (*odd, GOOD_VALUES, GOOD_VALUES)]
        at_once = parsed(*rows)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(contracts_module, "_BATCH", 3)
            in_batches = parsed(*rows)
        pd.testing.assert_frame_equal(
            at_once.with_sources(at_once.frame), in_batches.with_sources(in_batches.frame), check_exact=True
        )
        assert at_once.rejected == in_batches.rejected
        assert (at_once.duplicates, at_once.differing) == (in_batches.duplicates, in_batches.differing)


GOOD_VALUES = ("a", "周小满", 1, "2025-05-20")
