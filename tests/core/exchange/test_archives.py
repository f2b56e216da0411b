"""Hostile zip files as such, whether they are said to hold a run or a data set: refused for the right reason."""

from types import SimpleNamespace

import pytest

from core.exchange import archives
from tests.core.zips import ZIPS, image_set, refused_run, refused_set, zipped


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
