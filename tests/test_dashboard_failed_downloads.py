"""What is said below a button whose file can't be made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from streamlit.proto.BackMsg_pb2 import BackendOperationRequest, DeferredFileRequestPayload
from streamlit.proto.ForwardMsg_pb2 import BackendOperationResponse
from streamlit.runtime.backend_operation_handler import DeferredFileHandler
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from modules.settings import SettingsError
from streamlit_app.downloads import make_file


def press(make: Callable[[], bytes] | None) -> BackendOperationResponse:
    """The answer to a button whose file is made so; None: a button that is gone."""
    files = MediaFileManager(MemoryMediaFileStorage("/media"))
    file_id = files.add_deferred(make, "text/csv", "coordinates", "a.csv") if make else "gone"
    request = BackendOperationRequest(request_id="7", deferred_file=DeferredFileRequestPayload(file_id=file_id))
    return asyncio.run(make_file(DeferredFileHandler(lambda: files), request, "session"))


def broken(error: Exception) -> Callable[[], bytes]:
    def make() -> bytes:
        raise error

    return make


def test_a_file_that_is_made_is_given() -> None:
    answer = press(lambda: b"a,b")
    assert (answer.request_id, answer.error_msg) == ("7", "")
    assert answer.deferred_file.url.startswith("/media/")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (broken(SettingsError([])), "文件没有生成："),
        (broken(PermissionError(13, "Permission denied", "tasks.db")), "文件没有生成：读写不了 tasks.db（没有权限）"),
        (broken(ZeroDivisionError("division by zero")), "文件没有生成，原因已写进数据文件夹下的 logs/app.log"),
        (None, "页面已经变了，请刷新后再下载"),
    ],
)
def test_one_that_is_not_says_why(make: Callable[[], bytes] | None, said: str) -> None:
    answer = press(make)
    assert answer.request_id == "7"
    assert answer.error_msg.startswith(said)
    assert not answer.deferred_file.url
