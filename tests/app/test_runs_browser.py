"""Runs in a real browser: a race followed to its end."""

import sys

import pytest

from core import experiment, race
from core.dataset import loader
from core.runs import writing
from core.settings.presets import from_preset
from tests.app.browser import ROOT, free_port, open_page, skip_without_browser, start_server
from tests.core.test_race import SMALL

skip_without_browser()


@pytest.fixture(scope="module")
def dashboard(digits, tmp_path_factory):
    """A lab with two finished runs; yields its address and its folder of runs."""
    home = tmp_path_factory.mktemp("browser")
    runs, port = home / "runs", free_port()
    images = loader.load(digits.folder)
    for rule in ("all", "batch_hard"):
        config = from_preset("facenet-semi-hard", **SMALL | {"selection": rule, "epochs": 1})
        with writing.create(config, images, runs) as writer:
            list(experiment.run(writer, images))
    command = [sys.executable, "-m", "app", "--port", str(port), "--data", str(digits.folder)]
    command += ["--runs", str(runs), "--no-browser"]
    with start_server(ROOT / "app" / "main.py", port=port, command=command, env={"OMP_NUM_THREADS": "1"}) as url:
        yield url, runs


def test_a_race_is_followed_to_its_end(dashboard):
    url, runs = dashboard
    with open_page(f"{url}/runs", 1280, 720) as page:
        page.get_by_role("button", name="Race …").click(timeout=60_000)
        epochs = page.get_by_role("spinbutton", name="Epochs")
        epochs.wait_for(timeout=60_000)
        epochs.fill("1")
        epochs.press("Tab")
        page.get_by_text("3 runs take turns").wait_for(timeout=30_000)
        page.get_by_role("button", name="Start the race").click()
        page.locator(".lab-lane").nth(2).wait_for(timeout=60_000)
        assert "race=race-" in page.url
        page.get_by_role("button", name="Table (CSV)").wait_for(timeout=180_000)
        page.get_by_text("All reached").wait_for(timeout=30_000)
        assert page.locator(".lab-lane").count() == 3
        assert page.locator(".js-plotly-plot:visible").count() == 2
        with page.expect_download() as download:
            page.get_by_role("button", name="Table (CSV)").click()
        (held,) = race.all_races(runs)
        lines = download.value.path().read_text().splitlines()
        assert lines[0].startswith("run,selection,seed,status,epochs")
        assert [line.split(",")[0] for line in lines[1:]] == list(held.runs)
        assert [run.status for run in race.runs_of(held, runs)] == ["done"] * 3
        page.get_by_role("button", name="All runs").click()
        page.get_by_role("button", name="Races (1)").wait_for(timeout=30_000)
        assert page.console_errors == []
        assert page.foreign_requests == []
