"""Whether a folder lies on another machine: SQLite's locks do not hold there, and two writers ruin the file."""

import re
import sys
from pathlib import Path

NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "9p", "fuse.sshfs", "fuse.glusterfs"}
)
"""As Linux names them in /proc/mounts. Sources: the kernel's file systems; SQLite, "Use over a network"."""

DRIVE_REMOTE = 4
"""What Windows' GetDriveTypeW answers for a drive of another machine."""

MOUNTS = Path("/proc/mounts")


def network_share(folder: Path) -> str | None:
    """The share that a folder lies on, for people; None where it lies on this machine, or nobody can tell."""
    if sys.platform == "win32":
        return _windows_share(folder)
    return _mounted_share(folder.resolve(), MOUNTS.read_text(encoding="utf-8") if MOUNTS.exists() else "")


def _mounted_share(folder: Path, mounts: str) -> str | None:
    r"""Of the mounts above a folder the deepest counts; in `mounts` a blank in a path is written as \040."""
    kind, device, deepest = "", "", -1
    for line in mounts.splitlines():
        its_device, point, its_kind, *_ = line.split(" ")
        path = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point))
        if folder.is_relative_to(path) and len(path.parts) >= deepest:
            kind, device, deepest = its_kind, its_device, len(path.parts)
    return f"{device}（{kind}）" if kind in NETWORK_FILESYSTEMS else None


def _windows_share(folder: Path) -> str | None:
    drive = folder.absolute().drive
    if drive.startswith("\\\\"):
        return drive
    if sys.platform == "win32":
        import ctypes

        if ctypes.windll.kernel32.GetDriveTypeW(f"{drive}\\") == DRIVE_REMOTE:
            return f"网络驱动器 {drive}"
    return None
