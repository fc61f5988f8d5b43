"""Runs one target on many damaged inputs, in a process with limits, and prints what it found as JSON.

    python -m benchmarks.fuzz.worker manifest --cases 10000 --seed 1 --keep /tmp/fuzz

A case is right if the reader returns, or raises one of our own errors in one line.  Another exception, more than
SECONDS, more than MEMORY beyond what the process had at the start, and a file that appears are failures.  The case is
written to `--keep` before it runs, so that one that kills the process can be found.
"""

from __future__ import annotations

import hashlib
import json
import resource
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import hypothesis
import typer

from benchmarks.fuzz.bundles import bundle_targets
from benchmarks.fuzz.edits import changed_bytes, changed_values
from benchmarks.fuzz.targets import TARGETS, Target
from benchmarks.measuring.command_line import run_script
from mobile_diffusion.errors import MobileDiffusionError

SECONDS = 10
"""Of processor time, so that other work does not count."""
MEMORY = 2**30
LONGEST = 2000
"""Characters of an error."""
LAST = "last-case"
"""The case that runs, in the folder that is kept."""


class HangError(BaseException):
    """A case takes too long; no reader catches it."""


@contextmanager
def limited() -> Iterator[None]:
    """Within it, this process cannot take MEMORY more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    signal.signal(signal.SIGPROF, _hang)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def fuzz(target: Target, cases: int, seed: int, keep: Path) -> dict[str, Any]:
    """Run the cases; return how many ran, how they ended, and one example of every failure."""
    ends: Counter[str] = Counter()
    failures: dict[str, dict[str, Any]] = {}
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-fuzz-") as name:
        folder = Path(name)
        target.prepare(folder)
        file = folder / target.file
        valid, listing = file.read_bytes(), _listing(folder)
        target.read(folder)  # the valid input must be read
        documents = [changed_values(valid)] if file.suffix == ".json" else []

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=cases,
            deadline=None,
            database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(hypothesis.strategies.one_of(changed_bytes(valid), *documents))
        def run(data: bytes) -> None:
            (keep / LAST).write_bytes(data)
            file.write_bytes(data)
            problem = _problem(target, folder)
            if not problem and _listing(folder) != listing:
                problem = "FileLeft: a file appeared or disappeared"
            ends["read" if problem == "" else "refused" if problem is None else "failed"] += 1
            if problem and problem not in failures:
                example = f"{target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
                (keep / example).write_bytes(data)
                failures[problem] = {"problem": problem, "example": example}

        with limited():
            run()
    (keep / LAST).unlink(missing_ok=True)
    return {
        "target": target.name,
        "cases": sum(ends.values()),
        **dict(sorted(ends.items())),
        "failures": [*failures.values()],
    }


def _problem(target: Target, folder: Path) -> str | None:
    """What is wrong with a case; "" if it was read, None if it was refused in one line."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        target.read(folder)
    except MobileDiffusionError as error:
        text = str(error)
        return None if "\n" not in text and len(text) <= LONGEST else "LongMessage: more than one line, or too long"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {'/'.join(Path(place.filename).parts[-3:])}:{place.lineno}"
    except HangError:
        return f"Hang: more than {SECONDS} seconds"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def _hang(number: int, frame: object) -> None:
    raise HangError


def _listing(folder: Path) -> list[str]:
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*"))


def main(
    target: Annotated[str, typer.Argument(help="A target of the catalogue.")],
    cases: Annotated[int, typer.Option(min=1, help="How many inputs.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the changes.")] = 0,
    keep: Annotated[Path, typer.Option(help="Folder for inputs that fail.")] = Path("build/fuzz"),
    bundles: Annotated[Path | None, typer.Option(help="Folder of the bundles android and ios.")] = None,
) -> None:
    """Run them."""
    warnings.simplefilter("ignore")
    targets = {**TARGETS, **(bundle_targets(bundles) if bundles else {})}
    typer.echo(json.dumps(fuzz(targets[target], cases, seed, keep)))


if __name__ == "__main__":
    run_script(main, __doc__)
