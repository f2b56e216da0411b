"""The short version of tests/faults: kills, two writers, full disk, damaged files, in real processes."""

import csv
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_fault_costs_a_result(tmp_path):
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.faults", "--short"]
    done = subprocess.run(
        [*command, "--csv", tmp_path / "faults.csv"], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    with open(tmp_path / "faults.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 20
    assert sum("all SHA-256 equal" in row["outcome"] for row in rows) >= 8
