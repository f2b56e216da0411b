"""The Embedding page in a real browser: hover, click, lasso, the film of the epochs, and a run in training."""

import re
import time

import numpy as np
import pytest

from core import experiment, maps
from core.learning.events import EpochDone
from core.runs import store, writing
from tests.app.browser import be_at, idle, open_page, skip_without_browser, start_dashboard
from tests.core.whole_runs import drawn_maps

skip_without_browser()

GRAPH = ".lab-chart .graph"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(tiny, digits, runs):
    slower = tiny.changed(epochs=4, learning_rate=tiny.learning_rate / 3)  # tiny's own rate lets the space collapse
    with writing.create(slower, digits, runs) as writer:
        for _ in experiment.run(writer, digits):
            pass
    found = store.read(writer.folder)
    drawn_maps(found)
    return found


@pytest.fixture(scope="module")
def url(run, digits):
    with start_dashboard("--data", digits.folder, "--runs", run.folder.parent) as address:
        yield address


@pytest.fixture(scope="module")
def window(chromium):
    """One window for all tests: it fetches and reads the scripts once."""
    with open_page("about:blank") as page:
        yield page


@pytest.fixture
def page(window, url, run):
    """The run's map; as the test before left it, if that is still at the run's address."""
    window.set_viewport_size({"width": 1280, "height": 720})
    be_at(window, f"{url}/embedding?run={run.id}")
    window.locator(".lab-chart .bar:not([hidden])").first.wait_for(timeout=120_000)
    window.get_by_text("Trustworthiness").wait_for(timeout=60_000)
    yield window
    assert window.console_errors == []
    assert window.foreign_requests == []


def position(page, index: int) -> list[float]:
    """Where a point of the map is, in pixels of the window."""
    return page.evaluate(
        """([selector, index]) => {
          const graph = document.querySelector(selector), box = graph.getBoundingClientRect();
          const { xaxis, yaxis } = graph._fullLayout;
          for (const trace of graph._fullData) {
            const place = Array.from(trace.customdata ?? []).indexOf(index);
            if (place < 0 || trace.meta) continue;
            const x = box.x + xaxis._offset + xaxis.d2p(trace.x[place]);
            return [x, box.y + yaxis._offset + yaxis.d2p(trace.y[place])];
          }
        }""",
        [GRAPH, index],
    )


def places(page) -> dict[str, list[float]]:
    """Where every point is on the map, by its index."""
    return page.evaluate(
        """(selector) => {
          const found = {};
          for (const trace of document.querySelector(selector)._fullData)
            if (trace.customdata && !trace.meta)
              Array.from(trace.customdata).forEach((index, i) => { found[index] = [trace.x[i], trace.y[i]]; });
          return found;
        }""",
        GRAPH,
    )


def told(page) -> str:
    return page.locator(".lab-chart .told").first.inner_text()


def test_hover_click_and_the_address(page, digits, run):
    index = len(digits.train.ids) + 3
    x, y = position(page, index)
    page.mouse.move(x + 1, y)
    page.mouse.move(x, y)
    thumbnail = page.locator(".lab-chart .thumbnail")
    thumbnail.get_by_text("labelled").wait_for(timeout=30_000)
    page.mouse.click(x, y)
    page.wait_for_url(re.compile("image="), timeout=30_000)
    page.get_by_text("nearest training images in the embedding").wait_for(timeout=30_000)
    image = re.search(r"image=([\w]+)", page.url)[1]
    assert image in (*digits.train.ids, *digits.test.ids)
    page.get_by_text("The drawing keeps").wait_for(timeout=30_000)
    page.goto(page.url)  # somebody else opens the address
    page.get_by_text(image, exact=True).first.wait_for(timeout=60_000)


def test_one_image_is_looked_at_on_this_page_and_on_mistakes(page, digits, run, url):
    wanted = digits.test.ids[4]
    page.locator(".st-key-map_search input").fill(wanted)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"image={wanted}"), timeout=60_000)
    page.get_by_role("link", name="Why?").click()
    page.wait_for_url(re.compile(f"mistakes.*image={wanted}"), timeout=60_000)
    page.goto(f"{url}/mistakes?run={run.id}&image={wanted}")
    page.get_by_role("button", name="All images").wait_for(timeout=60_000)
    page.get_by_role("link", name="Embedding").click()
    page.wait_for_url(re.compile(f"embedding.*image={wanted}"), timeout=60_000)


def test_foreign_values_in_the_address_are_named(window, url, run):
    window.goto(f"{url}/embedding?run={run.id}&epoch=77&image=mnist_test_none")
    window.get_by_text("There is no map of epoch 77").wait_for(timeout=60_000)
    window.get_by_text("There is no image mnist_test_none in this data set").wait_for(timeout=60_000)
    assert window.console_errors == []


@pytest.mark.usefixtures("afresh")
def test_a_class_is_hidden_by_its_legend_and_comes_back_with_all_its_marks(page, digits):
    """Its points, the rings around those that are misclassified, its star and its name."""
    labels = [*digits.train.labels, *digits.test.labels]
    before = marks(page)
    label = labels[before["rings"][0]] if before["rings"] else 0

    def of_others(points: list[int]) -> list[int]:
        return [index for index in points if labels[index] != label]

    assert len(before["stars"]) == len(digits.classes)
    others = {name: of_others(before[name]) for name in ("points", "rings", "stars")}
    others["names"] = [name for name in before["names"] if name != digits.classes[label]]
    assert len(others["points"]) < len(before["points"])
    for wanted in (others, before):
        page.locator(f"{GRAPH} .legendtoggle").nth(label).click()
        deadline = time.monotonic() + 60
        while marks(page) != wanted:
            assert time.monotonic() < deadline, marks(page)
            page.wait_for_timeout(100)


def marks(page) -> dict[str, list]:
    """The points, rings and stars that can be seen, by their indices, and the names of classes."""
    found = page.evaluate(
        """(selector) => {
          const graph = document.querySelector(selector), seen = { points: [], rings: [], stars: [] };
          for (const trace of graph._fullData) {
            if (trace.visible !== true || trace.customdata === undefined) continue;
            const kind = !trace.meta ? "points" : trace.meta.rings ? "rings" : "stars";
            Array.from(trace.customdata).forEach((index, i) => isFinite(trace.x[i]) && seen[kind].push(index));
          }
          const names = graph._fullLayout.annotations.filter((each) => each.visible).map((each) => each.name);
          return { ...seen, names };
        }""",
        GRAPH,
    )
    return found | {"points": sorted(found["points"])}


def test_a_lasso_lists_its_images(page):
    box = page.locator(f"{GRAPH} .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.locator(f"{GRAPH} .modebar-btn[data-val=select]").first.click()
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=3)
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3, steps=3)
    page.mouse.up()
    page.get_by_text("Lasso: 72 images").wait_for(timeout=30_000)


def watched(page):
    """The button that plays; window.told are the epochs that are told from the click on it."""
    play = page.get_by_role("button", name="Play").first
    play.evaluate(
        """play => {
          const told = document.querySelector('.lab-chart .told');
          window.told = [];
          const observer = new MutationObserver(() => window.told.push(parseInt(told.textContent.split(' ')[1])));
          play.addEventListener('click', () => observer.observe(told, { childList: true }), { once: true });
        }"""
    )
    return play


def test_the_film_plays_without_the_server_and_ends_where_it_shall(page, run):
    epochs = maps.epochs(run)
    assert told(page).startswith(f"epoch {epochs[-1]} of {epochs[-1]} · moved by ")
    play = watched(page)
    last = places(page)
    page.evaluate(
        """() => {
          const send = WebSocket.prototype.send;
          window.sent = [];
          WebSocket.prototype.send = function (message) {
            window.sent.push(document.querySelector('.lab-chart .play').ariaLabel);
            return send.call(this, message);
          };
        }"""
    )
    play.click()
    page.wait_for_function(f"window.told.at(-1) === {epochs[-1]}", timeout=60_000)
    play.wait_for(timeout=60_000)
    assert list(dict.fromkeys(page.evaluate("window.told"))) == list(epochs)
    page.wait_for_function("window.sent.length > 0")  # which epoch it ended at; nothing while it played
    assert "Pause" not in page.evaluate("window.sent")
    for index, place in places(page).items():
        np.testing.assert_allclose(place, last[index], atol=2e-3)


def test_a_phone_shows_a_map_as_wide_as_itself(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("graph => document.querySelector(graph)._fullLayout._size.w > 250", arg=GRAPH)
    page.wait_for_function("graph => document.querySelector(graph)._fullLayout._size.h > 200", arg=GRAPH)


def test_the_slider_chooses_an_epoch_and_the_points_are_where_its_map_has_them(page, run):
    first = maps.epochs(run)[0]
    assert first == 0
    page.locator(".lab-chart .epochs").first.focus()
    page.keyboard.press("Home")
    page.wait_for_url(re.compile(f"epoch={first}"), timeout=30_000)
    page.get_by_text("Before training (epoch 0)").wait_for(timeout=60_000)
    method = page.locator(GRAPH).first.get_attribute("aria-label").split()[0].lower()
    frame = next(maps.frames(run, method, maps.epochs(run))).points
    drawn = places(page)
    assert len(drawn) == len(frame)
    for index, place in drawn.items():
        np.testing.assert_allclose(place, frame[int(index)], atol=2e-3)


@pytest.mark.usefixtures("afresh")
def test_other_colours_and_the_plane_of_two_classes(page):
    page.get_by_text("Two classes", exact=True).click()
    page.get_by_text("from one centre to the other").wait_for(timeout=30_000)
    idle(page)
    low, high = page.evaluate(f"document.querySelector('{GRAPH}')._fullLayout.yaxis.range")
    assert all(
        low < y < high for _, y in places(page).values()
    )  # its origin lies between two centres, not in the middle
    for colour in ("epoch from which on it is right", "times forgotten"):
        page.locator(".st-key-map_colour input").click()
        page.get_by_role("option", name=colour).click()
        page.locator(f"{GRAPH} .cbtitle, {GRAPH} .infolayer .colorbar").first.wait_for(timeout=30_000)


def test_the_film_of_two_classes_plays(page, run):
    """Every epoch's map on the plane of the two centres, to the last one."""
    page.get_by_text("Two classes", exact=True).click()
    page.get_by_text("from one centre to the other").wait_for(timeout=60_000)
    last = maps.epochs(run)[-1]
    page.wait_for_function("epochs => document.querySelector('.lab-chart .epochs').max === epochs", arg=str(last))
    idle(page)
    page.locator(".lab-chart .epochs").first.focus()
    page.keyboard.press("Home")
    page.locator(".lab-chart .told", has_text=f"epoch 0 of {last}").first.wait_for(timeout=60_000)
    page.wait_for_url("**epoch=0**", timeout=60_000)
    idle(page)
    first = places(page)
    watched(page).click()
    page.get_by_role("button", name="Play").first.wait_for(timeout=60_000)
    page.wait_for_url(lambda url: "epoch=" not in url, timeout=60_000)
    idle(page)
    seen = page.evaluate("window.told")
    assert seen == sorted(seen), "what the server answered to the epoch before came in between"
    assert places(page) != first


@pytest.mark.usefixtures("afresh")
def test_umap_with_settings_of_ones_own(page, run):
    own = places(page)
    drawn = drawn_maps(run, "--neighbours", "4", "--min-dist", "0.15", "--seed", "7")[-1]
    page.locator('[data-testid="stPopover"] button').first.click()
    for name, presses in (("Neighbours", 4 - 15), ("Minimum distance", 5)):
        page.locator(f'input[type=range][aria-label="{name}"]').focus()
        for _ in range(abs(presses)):
            page.keyboard.press("ArrowLeft" if presses < 0 else "ArrowRight")
    page.locator('input[aria-label="Seed"]').fill("7")
    page.get_by_role("button", name="Draw", exact=True).click()
    idle(page)
    deadline = time.monotonic() + 60
    while not np.allclose(list(places(page).values()), drawn, atol=2e-3):
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    assert places(page) != own


@pytest.mark.usefixtures("afresh")
def test_a_digit_drawn_beside_the_map_is_a_star_on_it(page, run):
    page.get_by_text("Draw a digit", exact=True).click()
    sheet = page.locator(".sheet canvas")
    sheet.wait_for(timeout=60_000)
    idle(page)
    box = sheet.bounding_box()
    page.mouse.move(box["x"] + 120, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 130, box["y"] + 220, steps=5)
    page.mouse.up()
    page.locator(".lab-verdict").wait_for(timeout=60_000)
    star = """() => {
      const traces = document.querySelector('.lab-chart .graph')._fullData.filter((trace) => trace.meta?.guest);
      return traces.map((trace) => [trace.name, trace.visible, Array.from(trace.x), Array.from(trace.y)]);
    }"""
    page.wait_for_function(f"({star})().length === 2", timeout=60_000)
    (_, _, *lines), (_, visible, x, y) = page.evaluate(star)
    ends = np.stack(lines, axis=1)[1::3]
    assert visible is True
    assert len(ends) == run.config.neighbours
    assert (ends.min(axis=0) - 1e-3 <= (x[0], y[0])).all()
    assert (ends.max(axis=0) + 1e-3 >= (x[0], y[0])).all()
    page.locator(".lab-chart .epochs").first.focus()
    page.keyboard.press("Home")  # the network that answered is that of the last epoch
    page.get_by_text("Its star is on the map of that epoch").wait_for(timeout=60_000)
    page.wait_for_function(f"({star})().every((trace) => trace[1] !== true)", timeout=60_000)
    page.keyboard.press("End")
    page.wait_for_function(f"({star})().length === 2 && ({star})()[1][1] === true", timeout=60_000)
    page.locator("button.clear").click()
    page.wait_for_function(f"({star})().length === 0", timeout=60_000)


def test_a_run_in_training_is_followed_over_two_epochs(url, chromium, tiny, digits, runs):
    with writing.create(tiny.changed(epochs=3, seed=5), digits, runs) as writer:
        events = experiment.run(writer, digits)

        def until(epoch: int) -> None:
            next(event for event in events if isinstance(event, EpochDone) and event.epoch == epoch)

        with open_page(f"{url}/embedding?run={writer.id}", 1280, 720) as page:
            page.get_by_text("The first map comes when the first epoch has ended").wait_for(timeout=60_000)
            until(1)
            page.get_by_text("After epoch 1.").wait_for(timeout=120_000)
            until(2)
            page.get_by_text("After epoch 2.").wait_for(timeout=120_000)
            page.locator(".lab-chart .told", has_text="epoch 2 of 2").first.wait_for(timeout=120_000)
            for _ in events:
                pass
            assert page.console_errors == []
