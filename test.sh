#!/bin/sh
# Everything that must pass before a change lands: ruff, mypy --strict, pytest. --quick leaves out the slow tests;
# other arguments go to pytest.
launcher_command=test
. "$(dirname "$0")/start.sh"
