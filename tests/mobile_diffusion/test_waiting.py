"""How threads wait, as OpenMP's own library reports it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mobile_diffusion.waiting import VARIABLE

COMMAND = """
from export.cli import guard
def work():
    import torch
guard.run(work)
"""
PROGRAM = "import mobile_diffusion, torch"


def displayed(code: str, **settings: str) -> str:
    """What libgomp says of itself when a program loads it."""
    environment = {key: value for key, value in os.environ.items() if key not in (VARIABLE, "GOMP_SPINCOUNT")}
    environment |= settings | {"OMP_DISPLAY_ENV": "VERBOSE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is PyTorch's OpenMP on Linux")
@pytest.mark.parametrize("code", [COMMAND, PROGRAM, "import export, torch"])
def test_openmp_sleeps_in_commands_and_in_programs_unless_the_user_chose(code: str) -> None:
    """Without a policy libgomp calls itself passive and spins 300,000 times: the count is what tells."""
    assert "GOMP_SPINCOUNT = '0'" in displayed(code)
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in displayed(code, OMP_WAIT_POLICY="ACTIVE")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_threads_are_no_more_than_the_cores_that_a_process_may_use() -> None:
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
    code += "from export.cli.parameters import DEFAULT_THREADS; print(DEFAULT_THREADS)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
