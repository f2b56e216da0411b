"""The Mistakes page in a real browser: cells, keys, voters, notes that outlive the server, and what is handed in."""

import base64
import io
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from core.analysis import explain
from core.dataset.loader import DataSet
from core.runs import explaining, notes, store
from core.runs.store import Run
from tests.app.browser import be_at, idle, open_page, skip_without_browser, start_dashboard

skip_without_browser()
from playwright.sync_api import expect  # noqa: E402


@pytest.fixture(scope="module")
def wrong_run(digits, trained, tmp_path_factory) -> Run:
    """The trained run with ten mistakes: three stored predictions of one pair, and seven others."""
    folder = tmp_path_factory.mktemp("wrong") / trained.id
    shutil.copytree(trained.folder, folder)
    run = store.read(folder)
    file = store.embeddings_file(run, 2)
    with np.load(file) as arrays:
        kept = dict(arrays)
    predicted = digits.test.labels.copy()
    predicted[:3] = 1
    predicted[6:13] = (predicted[6:13] + 2) % 4
    np.savez(file, **kept | {"predicted": predicted})
    return run


@pytest.fixture(scope="module")
def dashboard(digits, wrong_run, tmp_path_factory):
    with _serve(digits, wrong_run, tmp_path_factory.mktemp("pics")) as url:
        yield url


def _serve(digits: DataSet, run: Run, pics: Path):
    where = ("--data", digits.folder, "--runs", run.folder.parent)
    return start_dashboard(*where, env={"TRIPLETLAB_PICS": pics})


@pytest.fixture(scope="module")
def window(chromium):
    """One window for all tests: it fetches and reads the scripts once."""
    with open_page("about:blank", 1280, 720) as page:
        page.set_default_timeout(60_000)
        yield page


@pytest.fixture
def page(window, dashboard, wrong_run):
    """The gallery of all ten, where the test before it left it."""
    be_at(window, f"{dashboard}/mistakes?run={wrong_run.id}")
    tile_count(window, 10)
    yield window
    assert window.console_errors == []
    assert window.foreign_requests == []


def tile_count(page, count: int) -> None:
    _expect(page.locator(".tile"), count)


def opened(page) -> None:
    """Waits until an image is open and its three voters can be clicked: none of the gallery's tiles is left."""
    page.locator(".lab-why").wait_for()
    _expect(page.locator(".tile.wide"), 0)
    tile_count(page, 3)


def _expect(found, count: int) -> None:
    expect(found).to_have_count(count, timeout=60_000)


def test_a_cell_opens_its_images(page, digits):
    tile_count(page, 10)
    page.get_by_title("3 of class digit 0 called digit 1").click()
    tile_count(page, 3)
    for tile, row in zip(page.locator(".tile").all(), range(3), strict=True):
        assert tile.locator("small").inner_text() == digits.test.ids[row]
        src = tile.locator("img").first.get_attribute("src")
        with Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))) as shown:
            file = next(digits.folder.rglob(f"{digits.test.ids[row]}.png"))
            assert shown.tobytes() == Image.open(file).tobytes()
    page.get_by_title("3 of class digit 0 called digit 1").click()  # again: all of them
    tile_count(page, 10)


def test_nothing_of_a_tile_or_the_matrix_is_cut(page):
    """At the projector's size, with class names of several letters."""
    cut = "(each) => each.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.innerText)"
    assert page.locator(".tile b, .tile small, .tile span").evaluate_all(cut) == []
    assert page.locator(".scroll").evaluate("(one) => one.scrollWidth - one.clientWidth") == 0
    heads = page.locator("th.share").all_inner_texts()
    assert heads == ["precision", "recall", "F1"]


def test_a_click_draws_the_page_once(page):
    """As often as the server begins to draw: counted in what it sends."""
    begun = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: begun.extend(_new_sessions(frame))))
    page.reload()
    tile_count(page, 10)
    cell = page.get_by_title("3 of class digit 0 called digit 1")
    idle(page)
    begun.clear()
    cell.click()
    tile_count(page, 3)
    idle(page)
    assert begun == ["new_session"]
    page.locator(".tile").first.click()
    opened(page)
    idle(page)
    begun.clear()
    page.locator(".tile").first.click()
    _expect(page.locator(".tile.off"), 1)
    idle(page)
    assert begun == ["new_session"]
    page.get_by_role("button", name="All images").click()
    tile_count(page, 3)
    cell.click()
    tile_count(page, 10)


def _new_sessions(frame: bytes) -> list[str]:
    found = ForwardMsg.FromString(frame).WhichOneof("type")
    return [found] if found == "new_session" else []


@pytest.mark.usefixtures("afresh")
def test_five_mistakes_by_keyboard(page, digits):
    page.locator(".tile").first.focus()
    page.keyboard.press("Enter")
    wrong = [digits.test.ids[row] for row in (0, 1, 2, 6, 7)]
    for place, name in enumerate(wrong):
        page.get_by_text(f"{place + 1} of 10 · {name}").wait_for()
        assert f"image={name}" in page.url
        page.locator('.lab-why [alt^="labelled"]').wait_for()
        tile_count(page, 3)  # the voters
        page.keyboard.press("ArrowRight")
    page.get_by_text("6 of 10").wait_for()
    for _ in range(3):  # faster than they are answered
        page.keyboard.press("ArrowLeft")
    page.get_by_text(f"3 of 10 · {wrong[2]}").wait_for()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.get_by_text("10 of 10 ·").wait_for()
    page.get_by_role("button", name="All images").click()
    tile_count(page, 10)


def test_the_focus_stays_where_it_was(page):
    """By keyboard alone: a cell and a voter are pressed again and again."""
    page.get_by_title("3 of class digit 0 called digit 1").focus()
    for count in (3, 10, 3):
        page.keyboard.press("Enter")
        tile_count(page, count)
    page.locator(".tile").first.focus()
    page.keyboard.press("Enter")
    opened(page)
    page.locator(".tile").nth(1).focus()
    for count in (1, 0, 1):
        page.keyboard.press("Enter")
        _expect(page.locator(".tile.off"), count)


def test_a_voter_is_unticked(page, digits, wrong_run):
    """The vote and the first of those who vote change as the brute force says."""
    page.locator(".tile").first.click()
    found = explaining.why(wrong_run, digits, 0)
    opened(page)
    gone = [row for row, _, _ in found.voters[:2]]
    for place in range(2):
        page.locator(".tile:not(.off)").first.click()
        _expect(page.locator(".tile.off"), place + 1)
    after = explaining.why(wrong_run, digits, 0, without=gone)
    votes = sum(label == after.rules["knn"] for _, label, _ in after.voters)
    page.get_by_text(f"({votes} of 3 votes)").wait_for()
    hints = [tile.get_attribute("title") for tile in page.locator(".tile:not(.off)").all()]
    assert [hint.partition(":")[0] for hint in hints] == [digits.train.ids[row] for row, _, _ in after.voters]
    assert page.get_by_text(explain.sentence(after, digits.classes)).count() == 1
    page.get_by_role("button", name="All vote again").click()
    _expect(page.locator(".tile.off"), 0)


def test_what_is_handed_in_opens_from_the_disk_without_a_network(page, wrong_run, digits, tmp_path):
    page.get_by_text("Lab report").click()
    page.get_by_label("Which classes are confused most, and why?").fill("0 and 1: both are thin.")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="All to hand in (ZIP)").click()
    waiting.value.save_as(tmp_path / "handed-in.zip")
    with zipfile.ZipFile(tmp_path / "handed-in.zip") as archive:
        archive.extractall(tmp_path)
    assert len(list((tmp_path / wrong_run.id).glob("img*_origin_*.png"))) == 10
    assert (tmp_path / wrong_run.id / "contact_sheet.png").is_file()
    report = page.context.new_page()
    page.context.set_offline(True)
    try:
        report.goto((tmp_path / "report.html").as_uri())
        assert report.locator(".mistake").count() == 10
        assert report.get_by_text("0 and 1: both are thin.").count() == 1
        assert report.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth == 28)")
    finally:
        page.context.set_offline(False)
        report.close()
    asked = [each for each in page.foreign_requests if not each.startswith("file:")]
    assert asked == []
    page.foreign_requests.clear()  # the report itself


def test_a_contact_sheet_of_what_is_shown(page, digits, tmp_path):
    page.get_by_title("3 of class digit 0 called digit 1").click()
    tile_count(page, 3)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Contact sheet").click()
    waiting.value.save_as(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        first = np.asarray(sheet)[: 3 * 28 : 3, : 3 * 28 : 3]
    np.testing.assert_array_equal(first, digits.test.images[0])
    page.get_by_title("3 of class digit 0 called digit 1").click()


def test_a_note_outlives_the_server(digits, wrong_run, dashboard, chromium, tmp_path):
    address = f"mistakes?run={wrong_run.id}&image={digits.test.ids[1]}"
    with _serve(digits, wrong_run, tmp_path) as url, open_page(f"{url}/{address}") as page:
        field = page.get_by_label("Note", exact=True)
        field.fill("broken stroke <b>", timeout=60_000)
        field.press("Control+Enter")
        deadline = time.monotonic() + 60
        while not notes.read(wrong_run).images and time.monotonic() < deadline:
            page.wait_for_timeout(20)
    assert notes.read(wrong_run).images == {digits.test.ids[1]: notes.Note("broken stroke <b>")}
    with open_page(f"{dashboard}/{address}") as page:  # another server, which has not seen it being written
        expect(page.get_by_label("Note", exact=True)).to_have_value("broken stroke <b>", timeout=60_000)
        assert page.console_errors == []
