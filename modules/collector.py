"""Python's garbage collector, paused while a run builds what it keeps."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """No search for circles of references inside the block; afterwards as before.

    A run makes millions of lasting objects and no circles worth the search: the collector would walk through all of
    them again and again, a sixth of the time of a large run. What nobody refers to is freed all the same.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def resume_collector() -> None:
    """A run that hangs inside such a block must not leave the program without a collector."""
    gc.enable()
