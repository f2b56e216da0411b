"""What a command said: its JSON, its one line of reason; and a small training's settings."""

import json
import subprocess
from pathlib import Path

from tests.processes import Child

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


def command(*arguments) -> subprocess.CompletedProcess:
    """`python -m core arguments` in a process of its own."""
    process = Child("core", *arguments)
    try:
        out, err = process.communicate()
    finally:
        process.kill()
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def check_failure(outcome: tuple[int, str, str], code: int, reason: str):
    """One line of reason on standard error after what was said on the way, nothing on standard output."""
    status, out, err = outcome
    assert (status, out) == (code, "")
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert lines == err.splitlines()[-1:]
    assert reason in lines[0]
    assert "Traceback" not in err
