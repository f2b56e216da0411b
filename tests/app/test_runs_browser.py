"""Runs in a real browser: a race followed to its end, and the images on which two runs disagree."""

import pytest

from core import experiment, race
from core.dataset import loader
from core.runs import store, writing
from core.settings.presets import from_preset
from tests.app.browser import open_page, skip_without_browser, start_dashboard
from tests.core.test_race import SMALL

skip_without_browser()

pytestmark = pytest.mark.usefixtures("chromium")


@pytest.fixture(scope="module")
def dashboard(digits, tmp_path_factory):
    """A lab with two finished runs; yields its address and its folder of runs."""
    home = tmp_path_factory.mktemp("browser")
    runs = home / "runs"
    images = loader.load(digits.folder)
    for rule in ("all", "batch_hard"):
        config = from_preset("facenet-semi-hard", **SMALL | {"selection": rule, "epochs": 1})
        with writing.create(config, images, runs) as writer:
            list(experiment.run(writer, images))
    with start_dashboard("--data", digits.folder, "--runs", runs) as url:
        yield url, runs


def test_a_race_is_followed_to_its_end(dashboard):
    url, runs = dashboard
    with open_page(f"{url}/runs", 1280, 720) as page:
        page.get_by_role("button", name="Race …").click(timeout=60_000)
        epochs = page.get_by_role("textbox", name="Epochs")
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


def test_a_group_of_disagreement_opens_its_images_and_an_image_its_page(dashboard, digits):
    url, runs = dashboard
    in_races = {run_id for held in race.all_races(runs) for run_id in held.runs}
    pair = [run for run in store.list_runs(runs) if run.id not in in_races]
    right = [store.embedded(run, 1).predicted == digits.test.labels for run in pair]
    only = [right[0] & ~right[1], right[1] & ~right[0]]
    letter = int(not only[0].any())
    expected = [digits.test.ids[row] for row in only[letter].nonzero()[0]]
    assert expected, "the two runs agree: choose other settings"
    with open_page(f"{url}/runs?runs={','.join(run.id for run in pair)}", 1280, 900) as page:
        page.get_by_test_id("stButtonGroup").get_by_text(f"only {'AB'[letter]} right ({len(expected)})").click(
            timeout=60_000
        )
        tiles = page.get_by_title("Why? ")
        tiles.first.wait_for(timeout=60_000)
        assert [tile.get_attribute("title").removeprefix("Why? ") for tile in tiles.all()] == expected
        loaded = "image => image.complete && image.naturalWidth > 0"
        assert all(tile.locator("img").first.evaluate(loaded) for tile in tiles.all())
        assert f"group=only-{'ab'[letter]}" in page.url
        tiles.first.click()
        page.wait_for_url(f"**/mistakes?*image={expected[0]}*", timeout=60_000)
        assert page.console_errors == []
