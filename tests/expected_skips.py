"""The reasons for which a test may be skipped, and on which platforms; a skip for any other reason fails the run.

`SkipCheck` is the plugin that compares.  A test that is skipped in silence proves nothing, and nobody sees it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

LINUX, MAC = "linux", "darwin"


@dataclass(frozen=True)
class ExpectedSkip:
    """A reason, and where it may be given."""

    reason: str
    """Regular expression; it must match the whole reason."""
    platforms: tuple[str, ...] = (LINUX, MAC)
    """Values of `sys.platform`."""


EXPECTED = (
    ExpectedSkip(r"no .+; apps/(runner|android|ios|web)/install-tools\.sh installs .+"),
    ExpectedSkip(r"swift\.sh: expected .+"),
    ExpectedSkip(r"no definitions of languages .+; apps/runner/install-tools\.sh installs them"),
    ExpectedSkip(r"node is not installed"),
    ExpectedSkip(r"chromium is not installed"),
    ExpectedSkip(r"onnxruntime-web is not in .+: python -m benchmarks\.onnx\.web BUNDLE --install"),
    ExpectedSkip(r"mounting a small file system needs root; .+"),
    ExpectedSkip(r"this machine does not let root mount; .+"),
    ExpectedSkip(r"Core AI's packages are not installed; they need glibc 2\.34 or macOS"),
    ExpectedSkip(r"not a git checkout; run the tests in a clone"),
    ExpectedSkip(r"killing at a system call needs Linux and gcc", (MAC,)),
    ExpectedSkip(r"macOS has Core ML", (MAC,)),
    ExpectedSkip(r"libgomp is PyTorch's OpenMP on Linux", (MAC,)),
    ExpectedSkip(r"this system does not bind processes to cores", (MAC,)),
    ExpectedSkip(r"Linux alone says a process's peak memory in /proc", (MAC,)),
    ExpectedSkip(r"the C library cannot give memory back", (MAC,)),
)


def unexpected(reasons: Iterable[str], platform: str = sys.platform) -> list[str]:
    """The reasons that are not in EXPECTED for this platform, each once."""
    allowed = [each.reason for each in EXPECTED if platform in each.platforms]
    return sorted({reason for reason in reasons if not any(re.fullmatch(each, reason) for each in allowed)})


class SkipCheck:
    """Collects the reasons of a run's skips; the run fails when one of them is not expected."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        """Test or module -> reason."""

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Keep the reason of a skip."""
        if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
            self.reasons[report.nodeid] = report.longrepr[2].removeprefix("Skipped: ")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's report; with xdist, that of every worker's."""
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module's report."""
        self.note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that would have passed."""
        if unexpected(self.reasons.values()) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the tests."""
        wrong = set(unexpected(self.reasons.values()))
        for test, reason in self.reasons.items():
            if reason in wrong:
                terminalreporter.write_line(
                    f"{test}: expected a reason for a skip that tests/expected_skips.py lists for {sys.platform}, "
                    f"got {reason!r}",
                    red=True,
                )
