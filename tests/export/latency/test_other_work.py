"""Work of other processes beside a measurement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from export.latency import other_work
from export.latency.measure import Conditions, LatencyReport
from export.latency.other_work import watch_others
from export.report.latency import conditions

SPIN = "while True: pass"


def test_work_of_a_process_that_is_not_ours_is_counted() -> None:
    start = f"{sys.executable!r} -c {SPIN!r} >/dev/null 2>&1 & echo $!"  # the shell ends: init adopts the process
    orphan = int(subprocess.run(["sh", "-c", start], capture_output=True, text=True, check=True).stdout)
    try:
        others = watch_others()
        time.sleep(1.0)
        assert 0.1 < others() <= 1.0
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_work_of_a_child_is_our_own() -> None:
    with subprocess.Popen([sys.executable, "-c", SPIN]) as child:
        before = other_work._own()
        end = time.monotonic() + 60
        while other_work._own() < before + 0.3 and time.monotonic() < end:
            time.sleep(0.05)
        grown = other_work._own() - before
        child.kill()
    assert grown >= 0.3


def test_a_disturbed_measurement_says_so() -> None:
    quiet, busy = (Conditions("a processor", 2, "Linux", 0.0, share) for share in (0.02, 0.6))
    assert "busy" not in conditions(LatencyReport(quiet, ()))
    assert "other processes took 60% of its time" in conditions(LatencyReport(busy, ()))
