"""What a command said: its JSON, its one line of reason; and a small training's settings."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TINY = [
    "blocks=1,1", "width=8", "embedding_size=8", "triplets=24", "batch_size=8", "epochs=2", "neighbours=3",
    "precision=float32", "threads=1",
]  # fmt: skip
SETTINGS = [part for each in TINY for part in ("--set", each)]


def last_line(out: str) -> dict:
    """Standard output of --json: nothing but one object, without NaN."""
    assert out.count("\n") == 1

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(out, parse_constant=refuse)


def command(*arguments, **options) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "core", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, **options)


def check_failure(outcome: tuple[int, str, str], code: int, reason: str):
    """One line of reason on standard error after what was said on the way, nothing on standard output."""
    status, out, err = outcome
    assert (status, out) == (code, "")
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert lines == err.splitlines()[-1:]
    assert reason in lines[0]
    assert "Traceback" not in err
