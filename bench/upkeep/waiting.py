"""Waits for something to become so, and never for ever."""

import time
from collections.abc import Callable

from rig.failure import Failure


def until(is_so: Callable[[], bool], seconds: float, what: str) -> float:
    """Looks again and again. How long it took."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > seconds:
            raise Failure(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.01)
    return time.monotonic() - began
