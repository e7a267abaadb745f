"""What the operating system says when it refuses, in Chinese."""

import errno

_WORDS = {
    errno.ENOENT: "没有这个文件或文件夹",
    errno.EACCES: "没有权限",
    errno.EPERM: "没有权限",
    errno.EROFS: "只能读，不能写",
    errno.ENOTDIR: "路径中有一段不是文件夹",
    errno.EISDIR: "是文件夹，不是文件",
    errno.EEXIST: "已有同名的文件",
    errno.EADDRINUSE: "已被别的程序占用",
}
"""Others are shown in the system's own words."""


def reason_of(error: OSError) -> str:
    """Why something could not be read, written or opened, without the name of the file."""
    return _WORDS.get(error.errno or 0) or error.strerror or type(error).__name__
