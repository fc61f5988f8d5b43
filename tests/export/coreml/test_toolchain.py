"""coremltools on demand."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from export.coreml.toolchain import NOISY_LOGGERS, import_coremltools
from export.quiet import errors_only
from mobile_diffusion.errors import ExportError

MODULES = (
    "export.coreml",
    "export.coreml.interpret",
    "export.coreml.lower",
    "export.runners.coreml_interpreter",
    "export.runners.coreml_native",
)


def test_importing_our_modules_does_not_import_coremltools() -> None:
    code = f"import sys, {', '.join(MODULES)}; sys.exit('coremltools' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_its_absence_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(ExportError, match=r"expected coremltools to be installed, got .*; run: pip install") as caught:
        import_coremltools()
    assert "\n" not in str(caught.value)


def test_warnings_are_silenced_only_inside(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("coremltools")
    with errors_only(NOISY_LOGGERS):
        logger.warning("inside")
        logger.error("an error")
    logger.warning("outside")
    assert caplog.messages == ["an error", "outside"]
