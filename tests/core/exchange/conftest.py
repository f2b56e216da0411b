"""A finished run and what an exported one holds."""

import io
import zipfile

import pytest

from core import experiment
from core.exchange import packed_runs
from core.runs import store, writing


@pytest.fixture(scope="module")
def run(digits, tiny, tmp_path_factory):
    """A finished run of two epochs."""
    with writing.create(tiny, digits, tmp_path_factory.mktemp("runs")) as writer:
        for _ in experiment.run(writer, digits):
            pass
    return store.read(writer.folder)


@pytest.fixture(autouse=True)
def lab(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(digits.folder))
    monkeypatch.setenv("TRIPLETLAB_UPLOADS", str(tmp_path / "uploads"))


@pytest.fixture(scope="module")
def members(run) -> dict[str, bytes]:
    """What an exported run holds, by the name below its folder."""
    stream = io.BytesIO()
    packed_runs.export_run(run, stream)
    with zipfile.ZipFile(stream) as archive:
        return {name.removeprefix(f"{run.id}/"): archive.read(name) for name in archive.namelist()}
