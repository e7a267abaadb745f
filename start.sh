#!/bin/sh
# Finds a Python that is new enough and has launcher.py run the program. ./start.sh demo shows what it does.
# test.sh reads this file too, and sets launcher_command.

for python in python3.13 python3.12 python3.11 python3; do
    # A name on the PATH proves little: a pyenv shim may refuse to run, and python3 may be old.
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        exec "$python" "$(dirname "$0")/launcher.py" "${launcher_command:-run}" "$@"
    fi
done

echo "启动失败：没有找到 Python 3.11 或更高版本，请先安装（https://www.python.org/downloads/ 或系统的软件包），再启动一次" >&2
exit 2
