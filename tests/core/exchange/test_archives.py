"""Hostile zip files as such, whether they are said to hold a run or a data set: refused for the right reason."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.exchange import archives
from tests.core.zips import ZIPS, huge_png, image_set, refused_run, refused_set, zipped

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("call", [refused_run, refused_set])
@pytest.mark.parametrize("case", ZIPS)
def test_hostile_zip(case, call, runs):
    make, reason = ZIPS[case]
    archive = make()
    if call is refused_run:
        reason += "|run.json: missing" * (case.startswith("announces") or case == "overlapping")
    found = call(archive, runs)
    assert any(part in found for part in reason.split("|")), found


def test_limits_that_a_test_cannot_reach(runs, monkeypatch):
    monkeypatch.setattr(archives, "PACKED_BYTES", 100)
    assert "are too large" in refused_set(zipped(image_set()), runs)
    monkeypatch.undo()
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6))
    assert "too little free space" in refused_set(zipped(image_set()), runs)


def test_a_file_that_is_not_there(runs, tmp_path):
    assert "cannot be opened" in refused_run(tmp_path / "none.zip", runs)
    assert "cannot be opened" in refused_set(tmp_path, runs)


def test_checks_stay_small(members, tmp_path):
    """A process of its own refuses a bomb of each kind and grows by less than 100 MB."""
    bombs = [ZIPS[case][0]() for case in ("bomb", "overlapping", "100,000 members", "a million members")]
    bombs.append(zipped(image_set(**{"train/a/x.png": huge_png(30_000, 30_000)})))
    for number, bomb in enumerate(bombs):
        (tmp_path / f"{number}.zip").write_bytes(bomb.getvalue())
    code = f"""
import resource
from pathlib import Path
from types import SimpleNamespace
from core.exchange import archives, measuring, packed_runs, packed_sets, report
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range({len(bombs)}):
    try:
        packed_sets.read_data_set(Path({str(tmp_path)!r}) / f"{{number}}.zip", Path({str(tmp_path)!r}) / "set")
    except archives.UploadError:
        continue
    raise SystemExit(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 * 1024  # kB
