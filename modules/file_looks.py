"""Whether files have changed: a cheap look at their times and sizes first, and at their contents where those differ."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

ABSENT = "absent"
LOCKED = "locked"
"""The digest of a file that is there and can't be read: an editor or a virus scanner has it just now."""

Look = Mapping[Path, str]
"""File → digest of its contents, ABSENT or LOCKED."""


class FileLooks:
    """Looks at the files that `files` names at that moment."""

    def __init__(self, files: Callable[[], Iterable[Path]]) -> None:
        self._files = files
        self._seen: dict[Path, tuple[tuple[int, int], str]] = {}

    def look(self, *, thorough: bool = False) -> Look:
        """The digest of each file. `thorough` reads all contents: times are coarse on some disks."""
        return {path: self._digest(path, thorough) for path in self._files()}

    def _digest(self, path: Path, thorough: bool) -> str:
        try:
            stat = path.stat()
            mark = (stat.st_mtime_ns, stat.st_size)
            known_mark, known = self._seen.get(path, (None, ""))
            if mark == known_mark and not thorough:
                return known
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            digest = ABSENT
        except OSError:
            digest = LOCKED
        else:
            self._seen[path] = (mark, digest)
            return digest
        self._seen.pop(path, None)
        return digest
