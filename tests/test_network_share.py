"""SQLite on another machine's disk is refused, with the reason and what to do."""

from pathlib import Path

import pytest

from modules import network_share as shares
from modules.database import Database, DatabaseError

MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
nas.example:/ops /mnt/ops nfs4 rw,vers=4.2 0 0
//nas.example/desk /mnt/desk\\040share cifs rw 0 0
/dev/vdb /mnt/ops/local ext4 rw 0 0
//nas.example/中文 /mnt/共享 cifs rw 0 0
ops@nas.example:/ /home/ops/remote fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "share"),
    [
        ("/work/data", None),
        ("/mnt/ops", "nas.example:/ops（nfs4）"),
        ("/mnt/ops/data/deep", "nas.example:/ops（nfs4）"),
        ("/mnt/opsx/data", None),
        ("/mnt/ops/local/data", None),
        ("/mnt/desk share/data", "//nas.example/desk（cifs）"),
        ("/mnt/共享/data", "//nas.example/中文（cifs）"),
        ("/home/ops/remote/data", "ops@nas.example:/（fuse.sshfs）"),
    ],
)
def test_the_deepest_mount_above_a_folder_decides(folder: str, share: str | None) -> None:
    assert shares._mounted_share(Path(folder), MOUNTS) == share


def test_a_database_there_is_refused_before_a_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"nas.example:/ops {tmp_path.resolve()} nfs4 rw 0 0\n", encoding="utf-8")
    monkeypatch.setattr(shares, "MOUNTS", mounts)
    with pytest.raises(DatabaseError, match=r"网络共享 nas.example:/ops.*改到本机磁盘.*PostgreSQL"):
        Database(f"sqlite:///{tmp_path}/data/tasks.db")
    assert not (tmp_path / "data" / "tasks.db").exists()


def test_this_machines_own_disk_is_taken(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path}/data/tasks.db").close()
