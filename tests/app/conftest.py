"""Pages over small real runs."""

import shutil
from pathlib import Path

import pytest
import streamlit as st

from app import crowd
from core import experiment
from core.runs import store, writing
from core.runs.queue import queue
from core.runs.store import Run
from tests.app.browser import one_browser, start_dashboard
from tests.processes import SLOW_STEPS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean_caches(monkeypatch):
    """What tests before this one have drawn is forgotten, and who looked at it."""
    st.cache_data.clear()
    monkeypatch.setattr(crowd, "_looking", {})
    yield
    assert queue().join(60), "a test left a run behind"


@pytest.fixture(scope="session")
def trained(digits, tiny, tmp_path_factory) -> Run:
    """A finished run on the small digits: two epochs, with mistakes to look at."""
    with writing.create(tiny, digits, tmp_path_factory.mktemp("runs")) as writer:
        for _ in experiment.run(writer, digits):
            pass
    return store.read(writer.folder)


@pytest.fixture
def lab(digits, tmp_path, monkeypatch) -> Path:
    """A lab without runs, on the small digits; yields its folder of runs."""
    runs = tmp_path / "runs"
    monkeypatch.setenv("TRIPLETLAB_DATA", str(digits.folder))
    monkeypatch.setenv("TRIPLETLAB_RUNS", str(runs))
    monkeypatch.setenv("TRIPLETLAB_PICS", str(tmp_path / "pics"))
    monkeypatch.setenv("TRIPLETLAB_UPLOADS", str(tmp_path / "uploads"))
    return runs


@pytest.fixture
def lab_with_runs(lab, trained, tiny, digits) -> Path:
    """The same with four runs: finished, failed, interrupted (its process is gone) and damaged."""
    lab.mkdir()
    shutil.copytree(trained.folder, lab / trained.id)
    with pytest.raises(RuntimeError), writing.create(tiny, digits, lab):
        raise RuntimeError("the loss is not finite")
    writing.create(tiny.changed(seed=7), digits, lab).close()
    (lab / "20260101-000000-broken-0000").mkdir()
    (lab / "20260101-000000-broken-0000" / "run.json").write_text('{"format": 1, "status"')
    return lab


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests: what it has compiled of Streamlit and Plotly serves every one."""
    with one_browser() as browser:
        yield browser


@pytest.fixture
def afresh(window):
    """What the tests before have done to the window of the module is gone."""
    window.goto("about:blank")


@pytest.fixture(scope="module")
def server(digits, tmp_path_factory) -> tuple[str, Path]:
    """A dashboard for all tests of a module, on the small digits: its address and its folder of runs."""
    home = tmp_path_factory.mktemp("server")
    env = {"TRIPLETLAB_PICS": home / "pics", "TRIPLETLAB_UPLOADS": home / "uploads"}
    with start_dashboard("--data", digits.folder, "--runs", home / "runs", env=env | SLOW_STEPS) as url:
        yield url, home / "runs"


@pytest.fixture
def emptied(server) -> tuple[str, Path]:
    """The same without a run: what the tests before left is gone."""
    url, runs = server
    assert not [run.id for run in store.list_runs(runs) if run.active]
    shutil.rmtree(runs, ignore_errors=True)
    return url, runs
