"""Log channels: `app.log` for everything, `send_messages.log` for what went out, stderr for who watches.

Lines are stamped in Asia/Shanghai, whatever the machine's zone, and carry the run of a job that they belong to. Files
hold text for people or, where the settings want it, a JSON object a line. Secrets are blotted out of the finished text
of a record, so that it makes no difference whether one stood in the message, an argument or a traceback.

The daemon and one-shot commands write the same files. Each line is written under a lock between processes, to a file
that is opened for it: Windows neither renames a file that another process holds open nor appends atomically.
"""

import json
import logging
import logging.config
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

from filelock import FileLock, Timeout

from modules.clock import SHANGHAI
from modules.log_context import current_run
from modules.settings import Settings

LINE = "%(asctime)s %(levelname)s %(name)s [%(threadName)s]%(run)s %(message)s"
BLOT = "***"
MEGABYTE = 1_000_000
LOCK_SECONDS = 2.0
LOCK_POLL_SECONDS = 0.005

PATTERNS = (
    re.compile(r"([?&]key=)[^&\s\"'<>]+", re.IGNORECASE),  # webhook addresses
    re.compile(r"((?:x-metabase-session|x-api-key|metabase\.session)[\"']?\s*[:=,]\s*(?:b?[\"'])?)[^\s\"',;}]+", re.I),
    re.compile(r"(://[^/\s:@]*:)[^/\s]+(?=@)"),  # user:password@ in addresses
)
"""What is secret by its place; group 1 stays. Catches what settings don't know, such as sessions."""

Redact = Callable[[str], str]


def configure_logging(settings: Settings, *, console: bool) -> None:
    """Set up all log channels anew; files lie in `settings.log_dir`, which is made where it is missing.

    Files get what the settings say, or DEBUG and above in development, INFO and above in production. `console` is for
    the daemon: stderr gets INFO and above; one-shot commands say what matters themselves. Raises OSError where the
    folder can't be made.
    """
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    level = settings.logs.level or ("DEBUG" if settings.environment == "development" else "INFO")
    redact = redactor(settings.secrets())
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {"()": LineFormatter, "redact": redact},
                "file": {"()": JsonFormatter if settings.logs.json_lines else LineFormatter, "redact": redact},
            },
            "handlers": {
                "app": _file_handler(settings, "app.log"),
                "send_messages": _file_handler(settings, "send_messages.log"),
                "console": {
                    "()": StderrHandler,
                    "formatter": "line",
                    "level": "INFO",
                },
            },
            "loggers": {
                "send_messages": {"handlers": ["send_messages"]},
                "alembic": {"level": "WARNING"},  # it tells of each look, and `database` of each change
                "filelock": {"level": "WARNING"},  # it tells of each lock, and writing that takes a lock
            },
            "root": {"level": level, "handlers": ["app", "console"] if console else ["app"]},
        }
    )


def redactor(secrets: Iterable[str]) -> Redact:
    """A function that blots `secrets`, also as they look in addresses, JSON and Python's repr, and PATTERNS."""
    spellings = sorted({form for secret in secrets for form in _spellings(secret)}, key=len, reverse=True)
    known = re.compile("|".join(map(re.escape, spellings))) if spellings else None

    def redact(text: str) -> str:
        if known:
            text = known.sub(BLOT, text)
        for pattern in PATTERNS:
            text = pattern.sub(rf"\1{BLOT}", text)
        return text

    return redact


def _spellings(secret: str) -> set[str]:
    return {
        secret,
        unquote(secret),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }


def _file_handler(settings: Settings, name: str) -> dict[str, object]:
    return {
        "()": SharedFileHandler,
        "formatter": "file",
        "path": settings.log_dir / name,
        "lock_file": settings.state_dir / f"{name}.lock",
        "max_bytes": int(settings.logs.file_megabytes * MEGABYTE),
        "files_kept": settings.logs.files_kept,
    }


class LineFormatter(logging.Formatter):
    """One record → text in Shanghai time without secrets. The record's message and arguments stay as they are."""

    def __init__(self, redact: Redact) -> None:
        super().__init__(LINE)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        run = current_run()
        record.run = f" [{run}]" if run else ""
        return self._redact(super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """`2025-05-20 12:00:00,123`; `datefmt` is not used."""
        moment = datetime.fromtimestamp(record.created, SHANGHAI)
        return f"{moment:%Y-%m-%d %H:%M:%S},{moment.microsecond // 1000:03d}"


class JsonFormatter(LineFormatter):
    """The same as a JSON object on one line, for programs: time (ISO 8601), level, logger, thread, message, and where
    there is one, run, traceback and stack."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, SHANGHAI).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "thread": record.threadName or "",
            "run": current_run(),
            "message": record.getMessage(),
            "traceback": self.formatException(record.exc_info) if record.exc_info else "",
            "stack": record.stack_info or "",
        }
        shown = {name: self._redact(text) for name, text in fields.items() if text or name == "message"}
        return json.dumps(shown, ensure_ascii=False)


class _DiscreetHandler(logging.Handler):
    """A record that can't be written is told on stderr by its place; logging would print its arguments as well."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = traceback.format_exception_only(sys.exception())
        sys.stderr.write(f"log record of {record.pathname}:{record.lineno} is lost: {''.join(error)}")


class StderrHandler(_DiscreetHandler, logging.StreamHandler):  # type: ignore[type-arg]
    """The console."""


class SharedFileHandler(_DiscreetHandler):
    """A rotating UTF-8 log file that several processes may write: `app.log`, older ones `app.log.1`, `app.log.2`, …"""

    def __init__(self, path: Path, lock_file: Path, max_bytes: int, files_kept: int) -> None:
        """`files_kept` counts the older files. A line never spans two of them."""
        super().__init__()
        self._path = path
        self._between_processes = FileLock(lock_file, timeout=LOCK_SECONDS, poll_interval=LOCK_POLL_SECONDS)
        self._max_bytes = max_bytes
        self._files_kept = files_kept

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. Never raises, as logging demands."""
        try:
            self._write(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001 - handleError tells of it
            self.handleError(record)

    def _write(self, line: bytes) -> None:
        try:
            with self._between_processes:
                self._make_room(len(line))
                self._append(line)
        except Timeout:  # the process that holds it was stopped in mid-line: better out of turn than lost
            self._append(line)

    def _append(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line)

    def _make_room(self, size: int) -> None:
        filled = self._path.stat().st_size if self._path.exists() else 0
        if filled and filled + size > self._max_bytes:
            try:
                self._roll_over()
            except PermissionError:  # Windows, and a viewer has one of them open: the file grows on meanwhile
                return

    def _roll_over(self) -> None:
        """Move each file up by one as far as the first free number; a move that fails half-way loses nothing."""
        numbers = range(1, self._files_kept)
        free = next((number for number in numbers if not self._numbered(number).exists()), self._files_kept)
        for number in range(free, 0, -1):
            self._numbered(number - 1).replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path
