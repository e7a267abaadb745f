"""Files that are made when a button is pressed: where that fails, why stands below the button.

Streamlit says there “Failed to generate file for download”, whatever it was.
"""

import asyncio
import logging

from streamlit.proto.BackMsg_pb2 import BackendOperationRequest
from streamlit.proto.ForwardMsg_pb2 import BackendOperationResponse, DeferredFileResponsePayload
from streamlit.runtime.backend_operation_handler import DeferredFileHandler
from streamlit.runtime.media_file_storage import MediaFileStorageError

from modules.errors import EXPECTED_ERRORS, words_of

log = logging.getLogger(__name__)


def say_why() -> None:
    """From now on, in this process."""
    DeferredFileHandler.handle = make_file  # type: ignore[method-assign, assignment]


async def make_file(
    handler: DeferredFileHandler, request: BackendOperationRequest, session_id: str
) -> BackendOperationResponse:
    """In place of the handler's own method: the address of the file, or why there is none."""
    try:
        url = await asyncio.to_thread(handler._get_media_file_mgr().execute_deferred, request.deferred_file.file_id)
    except MediaFileStorageError as error:
        return BackendOperationResponse(request_id=request.request_id, error_msg=_reason(error))
    return BackendOperationResponse(request_id=request.request_id, deferred_file=DeferredFileResponsePayload(url=url))


def _reason(error: MediaFileStorageError) -> str:
    cause = error.__cause__
    if cause is None:
        return "页面已经变了，请刷新后再下载"  # the button belongs to an earlier run
    if isinstance(cause, EXPECTED_ERRORS):
        log.error("看板：文件没有生成：%s", words_of(cause))
        return f"文件没有生成：{words_of(cause)}"
    log.error("看板的文件没有生成", exc_info=cause)
    return "文件没有生成，原因已写进数据文件夹下的 logs/app.log；请稍后再试，仍不行请联系维护人员"
