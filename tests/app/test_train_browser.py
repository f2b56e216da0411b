"""The Train page in a real browser: a run is watched, stepped, projected and taken away; keys; learning rates."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from core import control, experiment
from core.dataset import loader
from core.networks.build import prepare
from core.runs import store, writing
from core.settings.config import RunConfig
from tests.app.browser import idle, open_page, skip_without_browser, start_dashboard
from tests.core.test_race import SMALL
from tests.processes import SLOW_STEPS

skip_without_browser()
from playwright.sync_api import expect  # noqa: E402

pytestmark = pytest.mark.usefixtures("chromium")
SOON = 90_000  # milliseconds, on a busy machine
LONG = "preset=facenet-semi-hard&" + "&".join(
    f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
    for name, value in (SMALL | {"epochs": 900}).items()
)


@pytest.fixture(scope="module")
def lab(digits, tmp_path_factory):
    """A lab with a finished and a paused run: its address, its runs and both ids."""
    runs = tmp_path_factory.mktemp("browser") / "runs"
    images, ids = loader.load(digits.folder), []
    config = RunConfig(blocks=(1, 1), width=8, embedding_size=8, triplets=24, batch_size=8, epochs=2, neighbours=3)
    config = config.changed(precision="float32", threads=1)
    for pause in (False, True):
        seen = []
        with writing.create(config, images, runs) as writer:
            for event in experiment.run(writer, images, lambda: "pause" if pause and seen else None):  # noqa: B023
                seen.append(event)
        ids.append(writer.id)
    with start_dashboard("--data", digits.folder, "--runs", runs, env=SLOW_STEPS) as url:
        yield url, runs, *ids


@pytest.fixture
def stops(lab):
    """Whatever a test has begun is stopped, or the next one would wait for it."""
    yield
    for run in store.list_runs(lab[1]):
        if run.active:
            control.stop(run)


def button(page, name: str):
    return page.locator(f".st-key-{name} button").first


def points(page) -> int:
    """How many rows of steps the first chart shows."""
    return page.evaluate("document.querySelector('.js-plotly-plot')?.calcdata?.[0]?.length ?? 0")


def refreshes(page, count: int) -> None:
    """Waits until the first chart has been drawn with new steps so many times."""
    for _ in range(count):
        more = f"document.querySelector('.js-plotly-plot')?.calcdata?.[0]?.length > {points(page)}"
        page.wait_for_function(more, timeout=SOON)


def view(page) -> dict:
    """What somebody has made of the first chart, and where the page is scrolled to."""
    return page.evaluate(
        """() => {
          const chart = document.querySelector('.js-plotly-plot');
          return {
            range: [...chart._fullLayout.xaxis.range, ...chart._fullLayout.yaxis.range],
            hidden: chart._fullData.filter((trace) => trace.visible === 'legendonly').map((trace) => trace.name),
            scrolled: document.querySelector('[data-testid="stMain"]').scrollTop,
            top: Math.round(chart.getBoundingClientRect().top),
          };
        }"""
    )


def moving(page, seconds: float) -> list[str]:
    """What is animated in the part of the page that is drawn again and again: it costs the training time."""
    return page.evaluate(
        """async (seconds) => {
          const seen = new Set(), end = performance.now() + 1000 * seconds;
          while (performance.now() < end) {
            const moved = document.getAnimations().map((animation) => animation.effect.target);
            moved.filter((node) => node.closest(".st-key-live")).forEach((node) => seen.add(node.className));
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
          return [...seen];
        }""",
        seconds,
    )


def test_zoom_hidden_curve_and_scroll_stay_while_a_run_goes_on_and_keys_work(lab, stops):
    url, runs, *_ = lab
    with open_page(f"{url}/train?{LONG}", 1280, 720) as page:
        field = page.locator(".st-key-set_epochs input")
        field.click(timeout=SOON)
        page.keyboard.type("sn")  # while one types a key is a letter
        expect(field).to_have_value("900sn")
        assert "/train" in page.url
        field.fill("900")
        field.press("Tab")
        expect(button(page, "start")).to_be_enabled(timeout=SOON)
        field.evaluate("element => document.activeElement.blur()")
        page.keyboard.press("s")
        page.get_by_text("/900 · ").first.wait_for(timeout=SOON)
        page.wait_for_function("document.querySelector('.js-plotly-plot')?.calcdata?.[0]?.length > 3", timeout=SOON)
        plot = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
        x, y, width, height = (plot[name] for name in ("x", "y", "width", "height"))
        page.mouse.move(x + 0.02 * width, y + 0.1 * height)
        page.mouse.down()
        page.mouse.move(x + 0.5 * width, y + 0.9 * height, steps=4)
        page.mouse.up()
        chart = page.locator(".js-plotly-plot").first
        chart.locator(".legendtext", has_text="test").first.wait_for(timeout=SOON)  # after the first epoch
        chart.locator(".legendtoggle").last.click()
        hidden = "document.querySelector('.js-plotly-plot')._fullData.some((trace) => trace.visible === 'legendonly')"
        page.wait_for_function(hidden, timeout=SOON)
        page.locator('[data-testid="stMain"]').evaluate("element => element.scrollTo(0, 120)")
        page.wait_for_function("document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range[1] < 600")
        before = view(page)
        assert before["hidden"] == ["test"]
        assert before["scrolled"] == 120
        page.evaluate("document.querySelector('.js-plotly-plot').mark = 1")
        refreshes(page, 1)
        assert moving(page, seconds=1.5) == []
        refreshes(page, 1)
        after = view(page)
        assert after["range"] == pytest.approx(before["range"])
        assert after["hidden"] == before["hidden"]
        # Where a note came above the chart, the browser scrolls so that what is looked at stays where it is
        assert after["top"] == before["top"] or after["scrolled"] == before["scrolled"]
        page.keyboard.press("p")
        page.get_by_text("Paused. Resume goes on").wait_for(timeout=SOON)
        page.keyboard.press("p")
        button(page, "stop").click(timeout=SOON)
        page.get_by_text("Stopped. What is shown is the model so far.").wait_for(timeout=SOON)
        assert page.evaluate("document.querySelector('.js-plotly-plot').mark") == 1  # the same chart all the time
        assert sorted(run.status for run in store.list_runs(runs)) == ["done", "paused", "stopped"]
        page.keyboard.press("n")
        page.wait_for_url("**/runs*")
        assert page.console_errors == []


def test_one_step_of_a_paused_run_shows_what_it_changed(lab):
    url, runs, _, paused = lab
    with open_page(f"{url}/train?run={paused}", 1280, 1200) as page:
        page.get_by_text("Microscope: epoch 1, step 1").wait_for(timeout=SOON)
        button(page, "one_step").click()
        page.get_by_text("Microscope: epoch 1, step 2").wait_for(timeout=SOON)
        expect(page.get_by_text("Resume goes on at epoch 1, step 3.")).to_be_visible(timeout=SOON)
        assert store.read(runs / paused).status == "paused"
        assert "→" in page.locator(".lab-scope b").first.inner_text()
        assert page.console_errors == []


def test_on_a_projector_type_is_larger_lines_are_thicker_and_the_form_is_gone(lab):
    url, _, done, _ = lab
    size = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
    width = "document.querySelector('.js-plotly-plot')?._fullData?.[0]?.line?.width"
    with open_page(f"{url}/train?run={done}", 1280, 720) as page:
        page.wait_for_function(width, timeout=SOON)
        usual = page.evaluate(size), page.evaluate(width)
        button(page, "projector").click()
        page.wait_for_function(f"{width} > {usual[1]}", timeout=SOON)
        assert page.evaluate(width) == pytest.approx(1.5 * usual[1])
        assert page.evaluate(size) >= 1.5 * usual[0] == 24
        assert "projector=1" in page.url
        assert not button(page, "start").is_visible()
        button(page, "projector").click()
        button(page, "start").wait_for(timeout=SOON)
        assert page.console_errors == []


def test_a_suggested_learning_rate_is_put_into_the_form(lab):
    url, runs, *_ = lab
    before = len(store.list_runs(runs))
    with open_page(f"{url}/train?preset=quick&width=8&threads=1&blocks=1,1&batch_size=8", 1280, 720) as page:
        button(page, "rate_test").click(timeout=SOON)
        button(page, "rate_begin").click(timeout=SOON)
        use = button(page, "rate_use")
        use.wait_for(timeout=SOON)
        suggestion = use.inner_text().removeprefix("Use ")
        page.wait_for_function(
            "document.querySelector('[role=dialog] .js-plotly-plot')?.calcdata?.[0]?.length > 20", timeout=SOON
        )
        use.click()
        expect(page.locator(".st-key-set_learning_rate input")).to_have_value(suggestion, timeout=SOON)
        expect(page.get_by_role("dialog")).to_have_count(0, timeout=SOON)
        assert f"learning_rate={suggestion}" in page.url
        assert len(store.list_runs(runs)) == before
        assert page.console_errors == []


def test_every_file_can_be_taken_away_and_is_read_by_what_it_is_for(lab, digits, tmp_path):
    import onnxruntime  # both take seconds, of each process that collects the tests
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    url, runs, done, _ = lab
    run = store.read(runs / done)
    with open_page(f"{url}/train?run={done}", 1280, 900) as page:
        page.locator(".js-plotly-plot").first.wait_for()
        idle(page)

        def taken(kind: str) -> bytes:
            page.keyboard.press("Escape")  # the box may still be open, or have been closed by a new drawing
            button(page, "export").click(timeout=SOON)
            with page.expect_download(timeout=SOON) as download:
                page.locator(f".st-key-download_{kind} button").first.click()
            return download.value.path().read_bytes()

        charts = tmp_path / "charts.html"
        charts.write_bytes(taken("charts"))
        assert RunConfig(**json.loads(taken("settings"))) == run.config
        assert len(pd.read_csv(io.BytesIO(taken("history")))) == run.result.epochs
        weights = torch.load(io.BytesIO(taken("checkpoint")), weights_only=True)["network"]
        assert weights
        with zipfile.ZipFile(io.BytesIO(taken("tensorboard"))) as archive:
            archive.extractall(tmp_path)
        losses = EventAccumulator(str(tmp_path / done)).Reload().Scalars("epoch/train_loss")
        assert [each.value for each in losses] == pytest.approx(store.history(run)["train_loss"].tolist())
        network = onnxruntime.InferenceSession(taken("onnx"), providers=["CPUExecutionProvider"])
        images = prepare(torch.tensor(digits.test.images), run.config.channels, run.config.image_size)
        answers = network.run(["embeddings"], {"images": images.numpy()})[0]
        np.testing.assert_allclose(answers, store.embedded(run, run.result.epochs).test, atol=0.02)
        with zipfile.ZipFile(io.BytesIO(taken("run"))) as archive:
            assert any(name.endswith("run.json") for name in archive.namelist())
        assert page.console_errors == []
        page.context.set_offline(True)
        page.goto(charts.as_uri())
        page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=SOON)
        assert page.locator(".js-plotly-plot").count() == 5
        assert page.evaluate("document.querySelector('.js-plotly-plot').data.length") > 2
        assert page.foreign_requests == [charts.as_uri()]
