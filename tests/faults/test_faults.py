"""The short version of tests/faults: kills, two writers, full disk, damaged files, in real processes."""

import csv

from tests.processes import Child


def test_no_fault_costs_a_result(tmp_path):
    faults = Child("tests.faults", "--short", "--csv", tmp_path / "faults.csv")
    try:
        said, errors = faults.communicate(timeout=600)
    finally:
        faults.kill()
    assert faults.returncode == 0, said + errors
    assert "Traceback" not in errors
    with open(tmp_path / "faults.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 20
    assert sum("all SHA-256 equal" in row["outcome"] for row in rows) >= 8
