#!/bin/sh
# The dashboard, as ./start.sh dashboard. Arguments: --demo, --port N, --hash-password.
exec "$(dirname "$0")/start.sh" dashboard "$@"
