"""The whole way of a new user in a real browser: start a short run, watch it, look at the map and at the mistakes."""

import re
import sys

import pytest

from app.parts.messages import percent
from core.runs import store
from tests.app.browser import free_port, open_page, skip_without_browser, start_process

skip_without_browser()

pytestmark = pytest.mark.usefixtures("chromium")


@pytest.fixture
def dashboard(lab_data, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "app", "--port", str(port), "--data", str(lab_data)]
    command += ["--runs", str(tmp_path / "runs"), "--no-browser"]
    pictures = {"TRIPLETLAB_PICS": str(tmp_path / "pics")}
    with start_process(command, port, pictures) as url:
        yield url


def set_number(page, name: str, value: int) -> None:
    field = page.locator(f".st-key-set_{name} input")
    field.fill(str(value))
    field.press("Tab")
    page.wait_for_timeout(300)


def test_from_start_to_mistakes(dashboard, tmp_path):
    runs = tmp_path / "runs"
    with open_page(dashboard, 1440, 900) as page:
        page.get_by_text("What to do first").wait_for()
        page.get_by_role("link", name="1. Train").click()
        page.get_by_role("button", name="Start").wait_for()
        for name, value in {"width": 8, "epochs": 2}.items():
            set_number(page, name, value)
        page.get_by_role("button", name="Start").click()
        points = "document.querySelectorAll('.js-plotly-plot .scatterlayer .point').length"
        page.get_by_text(re.compile(r"Epoch \d/2")).first.wait_for(timeout=60_000)
        page.wait_for_function(f"{points} > 0")
        page.get_by_text("done", exact=True).first.wait_for(timeout=60_000)
        page.wait_for_function(f"{points} === 8")  # of two epochs: loss and accuracy, training and test

        (run,) = store.list_runs(runs)
        assert run.status == "done"
        wrong = store.mistakes(run)
        assert page.get_by_text(percent(run.result.test_accuracy)).count() >= 1
        assert f"run={run.id}" in page.url
        picked = page.get_by_role("combobox", name="Run", exact=True).input_value()  # no longer "in progress"
        assert picked.endswith(f"{percent(run.result.test_accuracy)} test · {run.id[-4:]}")

        page.get_by_role("link", name=f"See the {len(wrong)} mistakes").click()
        tile = page.locator(".tile").first
        tile.wait_for()
        assert wrong.iloc[0]["id"] in tile.get_attribute("title")
        assert tile.locator("img").first.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
        assert tile.locator("img").first.evaluate("image => image.naturalWidth") == 28

        page.get_by_role("link", name="Embedding", exact=True).click()
        # UMAP compiles at its first use, gently
        page.locator(".js-plotly-plot:visible").first.wait_for(timeout=180_000)
        page.reload()
        page.locator(".js-plotly-plot:visible").first.wait_for(timeout=30_000)
        library = "performance.getEntriesByType('resource').find(file => /plotly.min/.test(file.name))"
        assert page.evaluate(f"[{library}.transferSize, {library}.decodedBodySize > 1e6]") == [0, True]  # it was kept
        assert page.console_errors == []
        assert page.foreign_requests == []
