"""Imported before pandas, it keeps pandas from loading pyarrow, which the dashboard brings.

The daemon and the commands have no use for it, and it would cost each of them 40 MB and a fifth of a second.
"""

import sys
from types import ModuleType
from typing import cast

sys.modules["pyarrow"] = cast(ModuleType, None)  # an import then raises ModuleNotFoundError
