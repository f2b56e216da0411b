"""The page Try it without a browser, and in a real one: a 3 is drawn, and Quick look calls it a 3."""

import sys

import numpy as np
import pytest
from PIL import Image

from core import experiment
from core.dataset.loader import load
from core.runs import store, writing
from core.settings.presets import from_preset
from tests.app.browser import free_port, open_page, skip_without_browser, start_process
from tests.app.pages import open_page as open_script
from tests.app.pages import texts

skip_without_browser()

THREE = [(90, 70), (140, 50), (185, 75), (175, 115), (130, 135), (180, 150), (195, 195), (150, 230), (85, 215)]


def test_without_a_run_the_page_says_what_to_do(lab):
    assert "Train one first" in texts(open_script("try"))


def test_an_empty_canvas_says_what_to_do(lab_with_runs, trained):
    app = open_script("try", trained.id)
    assert "Draw a digit at the left" in texts(app)
    app.segmented_control(key="try_source").set_value("File").run()
    assert not app.exception


@pytest.fixture(scope="module")
def runs(lab_data, tmp_path_factory):
    """Two runs on the lab's images: a short Quick look, and one by distances."""
    folder, images = tmp_path_factory.mktemp("runs"), load(lab_data)
    for config in (from_preset("quick", epochs=2), from_preset("facenet-semi-hard", epochs=1, width=8, blocks=(1, 1))):
        with writing.create(config, images, folder) as writer:
            for _ in experiment.run(writer, images):
                pass
    return store.list_runs(folder)[::-1]


@pytest.fixture(scope="module")
def url(runs, lab_data):
    port = free_port()  # UMAP is compiled there
    command = [sys.executable, "-m", "app", "--port", str(port), "--data", str(lab_data), "--no-browser"]
    with start_process([*command, "--runs", str(runs[0].folder.parent)], port, {}) as address:
        yield address


@pytest.fixture
def page(url, runs):
    with open_page(f"{url}/try?run={runs[0].id}", 1280, 720) as page:
        page.locator(".sheet canvas").wait_for(timeout=60_000)
        yield page
        assert page.console_errors == []
        assert page.foreign_requests == []


def draw(page, points=THREE) -> None:
    box = page.locator(".sheet canvas").bounding_box()
    x, y = points[0]
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.down()
    for x, y in points[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=5)
    page.mouse.up()


def verdicts(page, count: int = 1) -> list[str]:
    page.locator(".lab-verdict").nth(count - 1).wait_for(timeout=60_000)
    return page.locator(".lab-verdict b").all_inner_texts()


def test_a_3_is_called_a_3_and_lies_on_the_map(page):
    draw(page)
    assert verdicts(page) == ["3"]
    page.wait_for_function("document.querySelector('.lab-votes')?.innerText.includes('5 nearest')")
    assert page.locator(".lab-near img").count() == 5
    assert page.locator(".lab-scores .most").inner_text() == "3"
    seen = page.locator(".lab-seen img")
    assert seen.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [28, 28]
    assert page.locator("canvas[role=img]").get_attribute("data-star")
    before = seen.get_attribute("src")
    draw(page, [(60, 250), (220, 250)])  # one more stroke, one more answer
    page.wait_for_function("before => document.querySelector('.lab-seen img')?.src !== before", arg=before)
    page.locator("button.undo").click()
    page.wait_for_function("before => document.querySelector('.lab-seen img')?.src === before", arg=before)
    page.locator("button.clear").click()
    page.get_by_text("Draw a digit at the left").wait_for(timeout=30_000)


def test_two_runs_and_why(page, url, runs):
    page.goto(f"{url}/try?run={runs[0].id}&other={runs[1].id}")
    page.locator(".sheet canvas").wait_for(timeout=60_000)
    draw(page)
    assert len(verdicts(page, 2)) == 2
    assert f"other={runs[1].id}" in page.url
    page.locator(".st-key-try_true input").click()
    page.get_by_role("option", name="8", exact=True).click()
    page.get_by_text("Called 3: of its").first.wait_for(timeout=30_000)


def test_a_photograph(page, lab_data, tmp_path):
    images = load(lab_data)
    row = int(np.flatnonzero(images.test.labels == images.classes.index("3"))[0])
    digit = Image.fromarray(images.test.images[row]).resize((400, 400), Image.Resampling.BICUBIC)
    paper = np.full((700, 900), 220, np.uint8)
    paper[100:500, 300:700] -= (np.asarray(digit) * 0.6).astype(np.uint8)
    Image.fromarray(paper).save(tmp_path / "photo.jpg")
    (tmp_path / "text.png").write_text("no image")
    page.get_by_text("File", exact=True).click()
    page.locator("input[type=file]").set_input_files(tmp_path / "photo.jpg")
    assert verdicts(page) == ["3"]
    page.locator("input[type=file]").set_input_files(tmp_path / "text.png")
    page.get_by_text("not an image that can be read").wait_for(timeout=30_000)
    Image.new("L", (60, 60), 240).save(tmp_path / "empty.png")
    page.locator("input[type=file]").set_input_files(tmp_path / "empty.png")
    page.get_by_text("No ink is found here").wait_for(timeout=30_000)
