"""Stands in for `am start` and for the sample app: writes the result that the test laid beside it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.export.device import transcripts


def main(words: list[str]) -> None:
    """Start the benchmark activity with its extras."""
    phone = Path(os.environ["FAKE_PHONE"])
    faults = json.loads((phone / "faults.json").read_text())
    assert words[:6] == ["start", "-S", "-W", "-n", "org.mobilediffusion.sample/.BenchmarkActivity", "--es"], words
    name, threads, rest = words[7], words[10], words[11:]
    assert words[6] == "bundle" and words[8:10] == ["--ei", "threads"], words
    task = "golden" if rest == ["--ez", "golden", "true"] else "benchmark"
    assert task == "golden" or rest[:2] == ["--ei", "runs"], words
    if "start" in faults:
        print(faults["start"], end="")
        return
    print(transcripts.STARTED, end="")
    folder = phone / "app" / "files" / task
    folder.mkdir(parents=True, exist_ok=True)
    kind, text = faults.get("result", ["json", (phone / f"{task}.json").read_text()])
    if kind == "none":
        (phone / "alive").unlink(missing_ok=True)
        return
    (phone / "alive").write_text("4711\n")
    counted = {"runs": rest[2]} if task == "benchmark" else {}
    (phone / "asked.json").write_text(json.dumps(counted | {"threads": threads}))
    (folder / f"{name}.{kind}").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
