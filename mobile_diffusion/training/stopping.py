"""Stopping a run from outside: batch systems end a job with SIGTERM some seconds before they kill it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mobile_diffusion.training import workers


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGTERM has come, which here does not end the process.

    Several processes would see it at different steps, so there, and in a thread, the signal keeps its effect.
    """
    if workers.count() > 1 or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: came.set())
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
