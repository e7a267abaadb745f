"""CSV and JSON files: what they show, when they are written, and that losing one loses nothing."""

import codecs
import csv
import io
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from modules.clock import SHANGHAI
from modules.file_utils import csv_text, excel_safe, prune_archive, read_csv_rows, write_atomically, write_csv
from modules.process_lock import daemon_lock
from modules.sandbox.sample_contracts import COLUMNS
from modules.senders.outcome import Unknown
from modules.tables import campaigns, performance, tasks
from modules.task_board import GIVEN_UP
from modules.task_states import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING, STATUSES, UNCERTAIN
from modules.templates import Templates
from modules.views import Views
from tests.desk import BEIJING, FIRST_ID, NOON, SHANGHAI_MAY, Desk, contract, contracts

Opening = Callable[..., AbstractContextManager[Desk]]

HEADER = (
    "活动编号,合同ID(_id),活动城市(province),工单编号(serviceAppointmentNum),Status,管家(serviceHousekeeper),"
    "合同编号(contractdocNum),合同金额(adjustRefundMoney),支付金额(paidAmount),差额(difference),State,创建时间(createTime),"
    "服务商(orgName),签约时间(signedDate),Doorsill,款项来源类型(tradeIn),转化率(conversion),平均客单价(average),"
    "工单类型(sourceType),项目地址(projectAddress),活动期内第几个合同,管家累计单数,管家累计金额,奖金池,计入业绩金额,"
    "管家累计业绩金额,激活奖励状态,奖励类型,奖励名称,是否发送通知,备注,登记时间"
)


def csv_file(desk: Desk, key: str = BEIJING) -> Path:
    return desk.data_dir / f"PerformanceData-{key}.csv"


def status_file(desk: Desk, key: str = BEIJING) -> Path:
    return desk.data_dir / f"send_status_{key}.json"


def rows(desk: Desk, key: str = BEIJING) -> list[dict[str, str]]:
    with csv_file(desk, key).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def column(desk: Desk, name: str) -> list[str]:
    return [row[name] for row in rows(desk)]


def statuses(desk: Desk) -> dict[str, str]:
    found: dict[str, str] = json.loads(status_file(desk).read_text(encoding="utf-8"))
    return found


def contract_id(number: int) -> str:
    return str(FIRST_ID + number)


def refresh(desk: Desk) -> None:
    assert desk.app.views.refresh(desk.app.campaigns.valid) == []


def set_status(desk: Desk, task_id: int, status: str) -> None:
    """Put a task into any state, as time and workers would."""
    with desk.app.database.writing() as connection:
        values = {"status": status, "updated_at": desk.clock.advance(seconds=1)}
        connection.execute(sa.update(tasks).where(tasks.c.id == task_id).values(values))


# PerformanceData


def test_the_columns_are_those_of_the_issue_in_their_order(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    content = csv_file(desk).read_bytes()
    assert content.startswith(codecs.BOM_UTF8)
    assert content.decode("utf-8-sig").splitlines()[0] == HEADER


def test_a_row_shows_the_source_and_what_was_computed(desk: Desk) -> None:
    desk.show([*contracts(*range(1, 6)), contract(6, "1,234.50", paidAmount="-5", difference=-1234.5)])
    desk.run()
    row = rows(desk)[5]
    assert row == {
        "活动编号": BEIJING,
        "合同ID(_id)": "1920000000000000006",
        "活动城市(province)": "110000",
        "工单编号(serviceAppointmentNum)": "GD00006",
        "Status": "已签约",
        "管家(serviceHousekeeper)": "沈若川",
        "合同编号(contractdocNum)": "YHWX-00006",
        "合同金额(adjustRefundMoney)": "1234.50",
        "支付金额(paidAmount)": "-5",
        "差额(difference)": "-1234.5",
        "State": "正常",
        "创建时间(createTime)": "2025-05-01T09:06:00",
        "服务商(orgName)": "北京瓦蓝防水工程",
        "签约时间(signedDate)": "2025-05-01T09:06:00",
        "Doorsill": "500",
        "款项来源类型(tradeIn)": "0",
        "转化率(conversion)": "0.667",
        "平均客单价(average)": "8,888.00",
        "工单类型(sourceType)": "2",
        "项目地址(projectAddress)": "朝阳区望枫路1号院",
        "活动期内第几个合同": "6",
        "管家累计单数": "6",
        "管家累计金额": "26234.50",
        "奖金池": "2.47",
        "计入业绩金额": "1234.50",
        "管家累计业绩金额": "26234.50",
        "激活奖励状态": "1",
        "奖励类型": "幸运数字",
        "奖励名称": "接好运",
        "是否发送通知": "N",
        "备注": "距离 达标奖 还需 53,765.50 元",
        "登记时间": "2025-05-20 12:00:00",
    }


def test_awards_are_joined_in_the_order_of_the_record(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7), amount=20_000))
    desk.run()
    assert column(desk, "激活奖励状态") == ["0"] * 5 + ["1"]
    assert column(desk, "奖励类型")[-2:] == ["", "幸运数字, 节节高, 节节高"]
    assert column(desk, "奖励名称")[-2:] == ["", "接好运万元以上, 优秀奖, 达标奖"]


def test_columns_that_the_source_lacks_are_empty(desk: Desk) -> None:
    position = COLUMNS.index("average")
    row = contract(1)
    desk.show([[*row[:position], *row[position + 1 :]]], columns=[name for name in COLUMNS if name != "average"])
    desk.run()
    assert column(desk, "平均客单价(average)") == [""]


def test_what_is_no_number_and_looks_like_a_formula_is_disarmed(desk: Desk) -> None:
    desk.show([contract(1, contractdocNum="=1+1", projectAddress="@SUM(A1)", State="-北", paidAmount="-12.5")])
    desk.run()
    row = rows(desk)[0]
    shown = [
        row[name] for name in ("合同编号(contractdocNum)", "项目地址(projectAddress)", "State", "支付金额(paidAmount)")
    ]
    assert shown == ["'=1+1", "'@SUM(A1)", "'-北", "-12.5"]


def test_line_breaks_commas_and_quotes_stay_in_their_cell(desk: Desk) -> None:
    address = '朝阳区,"望枫路"\n1号院'
    desk.show([contract(1, projectAddress=address), contract(2)])
    desk.run()
    assert [row["项目地址(projectAddress)"] for row in rows(desk)] == [address, "朝阳区望枫路1号院"]


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1", "'=1"),
        ("+a", "'+a"),
        ("-a", "'-a"),
        ("@a", "'@a"),
        ("\ta", "'\ta"),
        ("\ra", "'\ra"),
        ("\na", "'\na"),
        ("-1+1", "'-1+1"),
        ("-", "'-"),
        ("-1", "-1"),
        ("+1.50", "+1.50"),
        ("-12.50%", "-12.50%"),
        ("-1%+1", "'-1%+1"),
        (-1.5, "-1.5"),
        (0, "0"),
        (None, ""),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_excel_safe(cell: object, safe: str) -> None:
    assert excel_safe(cell) == safe


def test_a_csv_of_ours_reads_back_as_it_was(tmp_path: Path) -> None:
    cells = ["=1", "-a", "-1", '引号"', "行\n行", "", "9" * 19]
    header = [f"列{number}" for number in range(len(cells))]
    write_csv(tmp_path / "a.csv", csv_text(header, [cells]))
    assert read_csv_rows(tmp_path / "a.csv") == [dict(zip(header, cells, strict=True))]


# 是否发送通知


def test_a_broadcast_that_is_delivered_is_marked(desk: Desk) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    assert column(desk, "是否发送通知") == ["N", "N"]
    desk.robot.inject(93000)
    desk.drain()
    assert column(desk, "是否发送通知") == ["N", "Y"]
    assert statuses(desk) == {contract_id(1): "失败", contract_id(2): "发送成功"}


def test_the_mark_outlives_the_task(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    desk.drain()
    with desk.app.database.writing() as connection:
        connection.execute(sa.delete(tasks))
    csv_file(desk).unlink()
    status_file(desk).unlink()
    refresh(desk)
    assert column(desk, "是否发送通知") == ["Y"]
    assert statuses(desk) == {contract_id(1): "发送成功"}


def test_the_award_notice_does_not_mark_the_broadcast(desk: Desk) -> None:
    desk.show(contracts(*range(1, 7)))
    desk.run()
    desk.robot.inject(93000, key="key-bj_group", times=None)
    desk.drain()
    assert desk.app.board.counts() == dict.fromkeys(STATUSES, 0) | {FAILED: 6, COMPLETED: 1}
    assert column(desk, "是否发送通知") == ["N"] * 6


# When files are written


@pytest.fixture
def written(desk: Desk) -> list[str]:
    """Names of the files written since it was last cleared."""
    names: list[str] = []
    real = write_atomically

    def noting(path: Path, text: str, encoding: str) -> None:
        if path.parent == desk.data_dir:
            names.append(path.name)
        real(path, text, encoding)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("modules.file_utils.write_atomically", noting)
        yield names  # type: ignore[misc]


def test_nothing_is_rewritten_while_nothing_moves(desk: Desk, written: list[str]) -> None:
    desk.show(contracts(1, 2))
    desk.run()
    desk.drain()
    marks = {path: path.stat().st_mtime_ns for path in desk.data_dir.iterdir() if path.is_file()}
    written.clear()
    for _ in range(2):
        desk.clock.advance(minutes=3)
        desk.run()
        desk.drain()
        refresh(desk)
    assert written == []
    same = [path for path in marks if path.suffix in {".csv", ".json"}]
    assert len(same) == 3
    assert {path: path.stat().st_mtime_ns for path in same} == {path: marks[path] for path in same}


def test_what_moves_is_written(desk: Desk, written: list[str]) -> None:
    desk.show(contracts(1))
    desk.run()
    files = [csv_file(desk).name, status_file(desk).name]
    assert sorted(written) == sorted([*files, f"ContractData-{BEIJING}.csv"])
    written.clear()
    desk.drain()
    assert sorted(written) == sorted(files)
    written.clear()
    desk.show(contracts(1, 2))
    desk.run()
    assert set(files) < set(written)


def test_a_file_that_was_deleted_is_written_again(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    kept = {path: path.read_bytes() for path in desk.data_dir.iterdir() if path.suffix in {".csv", ".json"}}
    assert len(kept) == 3
    for path in kept:
        path.unlink()
    desk.run()
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_file_that_somebody_edited_is_written_again(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    kept = csv_file(desk).read_bytes()
    csv_file(desk).write_bytes(kept + b"1,2,3\r\n")
    refresh(desk)
    assert csv_file(desk).read_bytes() == kept


def test_with_its_memory_lost_every_file_is_written_anew(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    kept = csv_file(desk).read_bytes()
    csv_file(desk).unlink()
    (desk.data_dir / "state" / "views.json").write_text("{ torn", encoding="utf-8")
    refresh(desk)
    assert csv_file(desk).read_bytes() == kept


def test_another_campaigns_files_are_left_alone(desk: Desk, written: list[str]) -> None:
    for key in (BEIJING, SHANGHAI_MAY):
        desk.show(contracts(1), key)
        desk.run(key)
    written.clear()
    desk.show(contracts(1, 2), SHANGHAI_MAY)
    desk.run(SHANGHAI_MAY)
    assert written
    assert not [name for name in written if BEIJING in name]


def test_the_files_of_two_folders_with_one_database_do_not_mix(desk: Desk, tmp_path: Path) -> None:
    desk.show(contracts(1))
    desk.run()
    elsewhere = desk.app.settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})
    assert Views(elsewhere, desk.app.database).refresh([BEIJING]) == []
    copy = tmp_path / "elsewhere" / csv_file(desk).name
    assert copy.read_bytes() == csv_file(desk).read_bytes()


def test_while_a_daemon_holds_the_folder_only_it_writes(open_desk: Opening) -> None:
    """But for the raw pull, which nobody else has."""
    with open_desk(is_daemon=True) as daemon, daemon_lock(daemon.app.settings.state_dir):
        with open_desk() as one_shot:
            one_shot.show(contracts(1))
            assert one_shot.run().registered == 1
            one_shot.drain()
            assert [path.name for path in one_shot.data_dir.glob("*.csv")] == [f"ContractData-{BEIJING}.csv"]
            assert not status_file(one_shot).exists()
        refresh(daemon)
        assert column(daemon, "是否发送通知") == ["Y"]


def test_without_a_daemon_a_one_shot_command_writes(open_desk: Opening) -> None:
    with open_desk() as one_shot:
        with daemon_lock(one_shot.app.settings.state_dir):
            pass
        one_shot.show(contracts(1))
        one_shot.run()
        assert len(rows(one_shot)) == 1


# send_status


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (PENDING, "待发送"),
        (RUNNING, "待发送"),
        (COMPLETED, "发送成功"),
        (FAILED, "失败"),
        (CANCELLED, "失败"),
        (UNCERTAIN, "待核实"),
    ],
)
def test_the_send_status_of_every_state(desk: Desk, status: str, word: str) -> None:
    desk.show(contracts(1))
    desk.run()
    set_status(desk, 1, status)
    refresh(desk)
    assert statuses(desk) == {contract_id(1): word}


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ([COMPLETED, COMPLETED, COMPLETED], "发送成功"),
        ([COMPLETED, COMPLETED, PENDING], "待发送"),
        ([COMPLETED, RUNNING, PENDING], "待发送"),
        ([COMPLETED, FAILED, PENDING], "失败"),
        ([CANCELLED, COMPLETED, COMPLETED], "失败"),
        ([UNCERTAIN, COMPLETED, PENDING], "待核实"),
        ([FAILED, UNCERTAIN, COMPLETED], "待核实"),
    ],
)
def test_of_a_split_message_the_worst_part_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parts: list[str], word: str
) -> None:
    (tmp_path / "broadcast_beijing.j2").write_text("喜报\n" * 800, encoding="utf-8")
    monkeypatch.setattr(desk.app.maker, "_templates", Templates.read(tmp_path))
    desk.show(contracts(1))
    desk.run()
    assert [row["dedup_key"].partition("#")[2] for row in desk.table(tasks)] == ["1/3", "2/3", "3/3"]
    for task_id, status in enumerate(parts, start=1):
        set_status(desk, task_id, status)
    refresh(desk)
    assert statuses(desk) == {contract_id(1): word}


def test_a_split_message_is_marked_with_its_last_part(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broadcast_beijing.j2").write_text("喜报\n" * 800, encoding="utf-8")
    monkeypatch.setattr(desk.app.maker, "_templates", Templates.read(tmp_path))
    desk.show(contracts(1))
    desk.run()
    desk.robot.inject(93000)
    desk.drain()
    assert column(desk, "是否发送通知") == ["N"]
    desk.app.board.set_status(1, PENDING, desk.clock(), "王", allowed_from=GIVEN_UP)
    desk.drain()
    assert column(desk, "是否发送通知") == ["Y"]
    assert statuses(desk) == {contract_id(1): "发送成功"}


def test_what_a_person_decides_is_shown(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    with desk.app.database.writing() as connection:
        connection.execute(sa.update(tasks).values(on_uncertain="hold"))
    leaving = desk.app.queue.advance(desk.app.queue.claim(desk.clock()), None, desk.clock()).hand
    desk.app.queue.advance(leaving, Unknown("超时"), desk.clock.advance(seconds=1))
    refresh(desk)
    assert statuses(desk) == {contract_id(1): "待核实"}
    desk.app.board.set_status(1, COMPLETED, desk.clock.advance(seconds=1), "王", allowed_from=STATUSES)
    refresh(desk)
    assert statuses(desk) == {contract_id(1): "发送成功"}
    assert column(desk, "是否发送通知") == ["Y"]


# ContractData and the archive


def archived(desk: Desk, prefix: str) -> list[str]:
    return sorted(path.name for path in (desk.data_dir / "archive").glob(f"{prefix}*"))


def test_contract_data_holds_the_last_raw_pull(desk: Desk) -> None:
    pulled = [contract(2, "待定"), contract(1, 5000.5, signedDate=None)]
    desk.show(pulled)
    desk.run()
    content = (desk.data_dir / f"ContractData-{BEIJING}.csv").read_bytes()
    assert content.startswith(codecs.BOM_UTF8)
    header, *lines = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    assert header == list(COLUMNS)
    assert lines == [["" if value is None else str(value) for value in row] for row in pulled]


def test_every_different_pull_is_archived_with_its_time(desk: Desk) -> None:
    for numbers in ([1], [1], [1, 2]):
        desk.show(contracts(*numbers))
        desk.run()
        desk.clock.advance(minutes=3)
    name = f"ContractData-{BEIJING}"
    assert archived(desk, name) == [f"{name}-20250520-120000.csv", f"{name}-20250520-120600.csv"]
    current = (desk.data_dir / f"{name}.csv").read_bytes()
    assert (desk.data_dir / "archive" / f"{name}-20250520-120600.csv").read_bytes() == current


def test_two_different_pulls_of_one_second_are_both_archived(desk: Desk) -> None:
    for numbers in ([1], [1, 2]):
        desk.show(contracts(*numbers))
        desk.run()
    assert len(archived(desk, "ContractData-")) == 2


def test_archived_pulls_are_pruned_after_the_set_days(desk: Desk) -> None:
    assert desk.app.settings.files.archive_days == 30
    desk.show(contracts(1))
    desk.run()
    for days, number in ((30, 2), (1, 3)):
        desk.clock.advance(days=days)
        desk.show(contracts(*range(1, number + 1)))
        desk.run()
    name = f"ContractData-{BEIJING}"
    assert archived(desk, name) == [f"{name}-20250619-120000.csv", f"{name}-20250620-120000.csv"]


def test_archived_pulls_are_pruned_though_no_campaign_is_active(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    desk.cycle(datetime(2026, 1, 1, tzinfo=SHANGHAI))
    assert archived(desk, "ContractData-") == []


def test_an_archived_file_that_excel_holds_open_stays_until_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows does it: what is open can't be deleted."""
    names = [f"ContractData-BJ-2025-05-2024010{day}-000000.csv" for day in (1, 2)]
    for name in names:
        (tmp_path / name).touch()
    real_unlink = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name == names[0]:
            raise PermissionError(13, "Permission denied")
        real_unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", unlink)
        prune_archive(tmp_path, "ContractData-", NOON, 30)
        assert [path.name for path in tmp_path.iterdir()] == names[:1]
    prune_archive(tmp_path, "ContractData-", NOON, 30)
    assert list(tmp_path.iterdir()) == []


def test_pruning_leaves_all_else_alone(tmp_path: Path) -> None:
    keep = [
        "PerformanceData-BJ-2025-05-20240101-000000.csv",
        "ContractData-SH-2025-05-20240101-000000.csv",
        "ContractData-BJ-2025-05-笔记.csv",
        "ContractData-BJ-2025-05-20250520-120000.csv",
        "ContractData-BJ-2025-05-20251399-999999.csv",
    ]
    for name in [*keep, "ContractData-BJ-2025-05-20240101-000000.csv", "ContractData-BJ-2025-05-20240101-000000-2.csv"]:
        (tmp_path / name).touch()
    prune_archive(tmp_path, "ContractData-BJ-2025-05", NOON, 30)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(keep)


def test_the_performance_file_is_archived_once_its_campaign_has_settled(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    desk.drain()
    last_day = datetime(2025, 6, 3, 23, 59, tzinfo=SHANGHAI)
    for at, expected in ((last_day, 0), (last_day + timedelta(days=1), 1), (last_day + timedelta(days=2), 1)):
        desk.cycle(at)
        assert len(archived(desk, f"PerformanceData-{BEIJING}")) == expected
    (kept,) = archived(desk, f"PerformanceData-{BEIJING}")
    assert kept == f"PerformanceData-{BEIJING}-20250604-235900.csv"
    assert (desk.data_dir / "archive" / kept).read_bytes() == csv_file(desk).read_bytes()


def test_a_settled_file_that_moves_once_more_is_archived_once_more(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    settled = datetime(2025, 6, 4, 12, 0, tzinfo=SHANGHAI)
    for minutes, act in ((0, lambda: None), (3, desk.drain), (6, lambda: None)):
        act()
        desk.cycle(settled + timedelta(minutes=minutes))
    assert len(archived(desk, f"PerformanceData-{BEIJING}")) == 2


def test_a_campaign_that_never_ran_has_no_files(desk: Desk) -> None:
    desk.cycle(datetime(2026, 1, 1, tzinfo=SHANGHAI))
    assert list(desk.data_dir.glob("*.csv")) == []
    assert not (desk.data_dir / "archive").exists()


def test_the_data_folder_may_vanish_between_two_runs(desk: Desk) -> None:
    desk.show(contracts(1))
    desk.run()
    shutil.rmtree(desk.data_dir / "archive")
    for path in desk.data_dir.glob("*.csv"):
        path.unlink()
    desk.show(contracts(1, 2))
    assert desk.run().outcome == "ok"
    assert len(rows(desk)) == 2
    assert len(archived(desk, "ContractData-")) == 1


# Faults


def test_a_fault_is_forgotten_once_what_it_kept_from_being_written_is_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the next pull is the one that the file still shows."""

    def held_open(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    desk.show(contracts(1))
    desk.run()
    desk.show([contract(1, State="有退款")])
    with monkeypatch.context() as patched:
        patched.setattr("modules.views.write_csv", held_open)
        desk.run()
    assert [fault.file for fault in desk.app.views.faults()] == [f"ContractData-{BEIJING}.csv"]
    desk.show(contracts(1))
    desk.run()
    assert desk.app.views.faults() == []


def test_a_data_folder_that_takes_no_files_is_a_fault_and_no_crash(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    desk.show(contracts(1))
    monkeypatch.setattr("modules.views.write_atomically", full)
    monkeypatch.setattr("modules.file_utils.write_atomically", full)
    report = desk.run()
    assert (report.outcome, report.registered) == ("ok", 1)
    faults = desk.app.views.refresh([BEIJING])
    assert "No space left on device" in faults[0].reason
    with desk.app.database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(performance)).scalar() == 1


def test_a_database_put_back_from_a_copy_comes_to_a_revision_twice_and_the_file_follows(desk: Desk) -> None:
    """Registered in silence, so that no message tells the two states apart."""
    desk.show(contracts(1, 2))
    desk.run(silent=True)
    with desk.app.database.writing() as connection:
        connection.execute(sa.delete(performance).where(performance.c.contract_id == contract_id(2)))
        connection.execute(sa.update(campaigns).values(revision=0))
    desk.clock.advance(minutes=3)
    desk.show(contracts(1, 3))
    desk.run(silent=True)
    assert column(desk, "合同ID(_id)") == [contract_id(1), contract_id(3)]
