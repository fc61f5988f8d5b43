"""The C interface changes the number of threads only while no program is open.

XNNPACK keeps the pool that a program was loaded with: when another one was opened with other threads while it ran, both
waited for ever.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.apps.conftest import ROOT
from tests.apps.languages import make

RUNNER = ROOT / "apps" / "runner"
PROGRAM = """
import ctypes, json, sys, threading

class Tensor(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("rank", ctypes.c_int32),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("data", ctypes.c_void_p)]

library = ctypes.CDLL(sys.argv[1])
library.et_open.restype, library.et_open.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int32)
library.et_error.restype = ctypes.c_char_p
library.et_close.argtypes = (ctypes.c_void_p,)
library.et_execute.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(Tensor), ctypes.c_int32)
file, method, width = sys.argv[2].encode(), sys.argv[3].encode(), int(sys.argv[4])
shape, values = (ctypes.c_int64 * 2)(1, width), (ctypes.c_int32 * width)(*[1] * width)
inputs = (Tensor * 2)(*[Tensor(1, 2, shape, ctypes.addressof(values)) for _ in range(2)])

program = library.et_open(file, 2)
results, ended = [], threading.Event()

def run():
    while not ended.is_set():
        results.append(library.et_execute(program, method, inputs, 2))

thread = threading.Thread(target=run)
thread.start()
others, lines = [], []
for count in (1, 2, 3, 1, 2, 4):
    others.append(library.et_open(file, count))
    lines.append(library.et_error().decode() if others[-1] is None else "")
ended.set()
thread.join()
for each in (program, *others):
    library.et_close(each)
alone = library.et_open(file, 1)
library.et_close(alone)
print(json.dumps({"opened": [each is not None for each in others], "lines": lines, "results": sorted(set(results)),
                  "alone": alone is not None}))
"""


def test_the_pool_stays_while_a_program_runs_and_changes_when_none_is_open(guided: Path) -> None:
    make(RUNNER, "library")
    manifest = json.loads((guided / "manifest.json").read_text())
    (stage,) = (each for each in manifest["stages"] if each["name"] == "encode_text")
    (width,) = {tensor["shape"][1] for tensor in stage["inputs"]}
    (artifact,) = (each for each in manifest["runtimes"][0]["artifacts"] if each["stage"] == "encode_text")
    library = next(RUNNER.glob("build/*/libexecutorch_c.so"))
    words = [sys.executable, "-c", PROGRAM, library, guided / artifact["path"], artifact["method"], width]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["opened"] == [False, True, False, False, True, False] and found["alone"]
    assert found["results"] == [1]
    refused = [line for line in found["lines"] if line]
    assert refused[0] == "threads: expected 2, as open programs have, got 1; close them first" and len(refused) == 4
