"""The two Plotly components in a real browser: what must survive an update, thumbnails, clicks, the dark theme."""

import base64
import re

import numpy as np
import pytest

from app.components.plotly_chart import Film
from tests.app.browser import be_at, open_page, skip_without_browser, start_server

skip_without_browser()

SCRIPT = """
import io

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from PIL import Image

from app.components.plotly_chart import embedding_map, live_chart

st.session_state.setdefault("points", 5)


@st.fragment(run_every=0.5)
def curve():
    st.session_state.points += 1
    points = st.session_state.points
    y = np.linspace(1, 0.2, points, dtype="float32")
    y[2] = np.nan
    names = ["earlier run", "train", "test"] if st.session_state.more else ["train", "test"]
    traces = [go.Scatter(x=np.arange(points), y=y + 0.1 * len(name), name=name) for name in names]
    axes = {"xaxis_range": [0, points], "yaxis_range": [0, 1.5 + points / 1000]}  # they grow as those of a long run
    live_chart(go.Figure(traces, axes), key="curve")


@st.fragment
def points():
    tiles = np.repeat(np.array([40, 120, 200, 250], dtype="uint8"), 28 * 28).reshape(4, 28, 28)
    sheet = io.BytesIO()
    Image.fromarray(np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])).save(sheet, "png")
    figure = go.Figure(
        [
            go.Scattergl(x=[0, 1], y=[0, 0], mode="markers", marker_size=20, customdata=np.array([0, 1])),
            go.Scattergl(x=[0, 1], y=[1, 1], mode="markers", marker_size=20, customdata=np.array([2, 3])),
        ]
    )
    figure.update_layout(meta=st.session_state.get("point"))  # so that a click changes the figure
    captions = [f"image_{i} · true <b>{i}</b>" for i in range(4)]
    keep = st.session_state.__setitem__
    told = {f"on_{name}": lambda value, name=name: keep(name, value) for name in ("point", "lasso", "epoch")}
    embedding_map(figure, sheet.getvalue(), (28, 28), 2, captions, key="map", height=400, **told)
    st.text(f"picked: {st.session_state.get('point')}")
    st.text(f"lasso: {sorted(st.session_state.get('lasso', []))}")


st.toggle("one curve more", key="more")
curve()
if not st.toggle("no map"):
    points()
"""
CURVE, MAP = ".st-key-curve .graph", ".st-key-map .graph"


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("components") / "page.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def url(script):
    with start_server(script, cwd=script.parent) as address:  # away from the project's .streamlit/config.toml
        yield address


@pytest.fixture(scope="module")
def window(url, chromium):
    """One window for all tests: it fetches and reads the scripts once."""
    with open_page("about:blank") as page:
        yield page


@pytest.fixture
def page(window, url):
    """The page as the test before it left it: what is zoomed or picked there is no matter to the next one."""
    window.set_viewport_size({"width": 1000, "height": 1000})
    window.emulate_media(color_scheme="light")
    be_at(window, f"{url}/")
    window.wait_for_selector(f"{CURVE} .nsewdrag")
    window.wait_for_selector(f"{MAP} .nsewdrag")
    yield window
    assert window.console_errors == []
    assert window.foreign_requests == []


def points_drawn(page) -> int:
    return page.evaluate(f"document.querySelector('{CURVE}').calcdata[0].length")


def wait_for_updates(page, count: int) -> None:
    """Return when `count` further points have arrived in the curve."""
    wanted = points_drawn(page) + count
    page.wait_for_function(f"document.querySelector('{CURVE}').calcdata[0].length >= {wanted}")


def axis_range(page, graph: str, axis: str = "xaxis") -> list[float]:
    return page.evaluate(f"Array.from(document.querySelector('{graph}')._fullLayout.{axis}.range)")


def map_position(page, x: float, y: float) -> tuple[float, float]:
    """Where the map shows the data point (x, y), in pixels of the window."""
    return page.evaluate(
        f"""(() => {{
          const graph = document.querySelector('{MAP}'), box = graph.getBoundingClientRect();
          const {{ xaxis, yaxis }} = graph._fullLayout;
          return [box.x + xaxis._offset + xaxis.d2p({x}), box.y + yaxis._offset + yaxis.d2p({y})];
        }})()"""
    )


def test_curve_grows_in_place_and_keeps_zoom_and_hidden_curves(page):
    page.evaluate(f"document.querySelector('{CURVE}').firstChild.mark = document.querySelector('{CURVE}').mark = 1")
    wait_for_updates(page, 2)

    box = page.locator(f"{CURVE} .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 40)
    page.mouse.down()
    for step in range(1, 9):  # slow enough for updates to arrive while the button is down
        page.mouse.move(box["x"] + 100 + 30 * step, box["y"] + 40 + 15 * step)
        page.wait_for_timeout(150)
    page.mouse.up()
    page.wait_for_timeout(600)
    zoomed = axis_range(page, CURVE), axis_range(page, CURVE, "yaxis")
    assert zoomed[0][1] < points_drawn(page) - 2

    page.locator(f"{CURVE} .legendtoggle").last.click()  # "test"
    wait_for_updates(page, 3)
    page.get_by_text("one curve more").click()  # before the others
    page.wait_for_function(f"document.querySelector('{CURVE}').data.length === 3")
    wait_for_updates(page, 1)
    assert (axis_range(page, CURVE), axis_range(page, CURVE, "yaxis")) == zoomed
    hidden = f"document.querySelector('{CURVE}')._fullData.filter(t => t.visible === 'legendonly').map(t => t.name)"
    assert page.evaluate(hidden) == ["test"]
    assert page.evaluate(f"document.querySelector('{CURVE}').mark + document.querySelector('{CURVE}').firstChild.mark")


def test_hover_shows_the_points_image_inside_the_frame(page):
    frame = page.locator(".st-key-map .lab-chart")
    thumbnail = frame.locator(".thumbnail")
    assert not thumbnail.is_visible()
    for index, (x, y), grey in [(1, (1, 0), 120), (2, (0, 1), 200), (3, (1, 1), 250)]:
        page.mouse.move(*map_position(page, x, y))
        thumbnail.get_by_text(f"image_{index} · true <b>{index}</b>", exact=True).wait_for()
        pixel = "canvas => Array.from(canvas.getContext('2d').getImageData(14, 14, 1, 1).data)"
        page.wait_for_timeout(100)
        assert thumbnail.locator("canvas").evaluate(pixel) == [grey, grey, grey, 255]
        outer, inner = frame.bounding_box(), thumbnail.bounding_box()
        assert outer["x"] <= inner["x"]
        assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]
        assert outer["y"] <= inner["y"]
        assert inner["y"] + inner["height"] <= outer["y"] + outer["height"]
        assert thumbnail.locator("canvas").bounding_box()["width"] == 84
    page.mouse.move(*map_position(page, 0.5, 0.5))
    thumbnail.wait_for(state="hidden")


def test_the_image_of_a_point_is_whole_in_a_low_window(page):
    height = round(map_position(page, 1, 1)[1]) + 90  # less than the image needs below the point
    page.set_viewport_size({"width": 1280, "height": height})
    page.mouse.move(*map_position(page, 1, 1))
    thumbnail = page.locator(".st-key-map .thumbnail")
    thumbnail.get_by_text("image_3 · true <b>3</b>", exact=True).wait_for()
    page.wait_for_timeout(100)
    box = thumbnail.bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= height


def test_a_lasso_reaches_python(page):
    page.hover(f"{MAP} .nsewdrag")
    page.locator(f"{MAP} .modebar-btn[data-val=select]").click()
    (x, top), (_, bottom) = map_position(page, 1, 1), map_position(page, 1, 0)
    page.mouse.move(x - 30, min(top, bottom) - 25)
    page.mouse.down()
    page.mouse.move(x, (top + bottom) / 2)
    page.mouse.move(x + 25, max(top, bottom) + 20)
    page.mouse.up()
    page.get_by_text("lasso: [1, 3]", exact=True).wait_for()


@pytest.mark.usefixtures("afresh")
def test_click_reaches_python_and_keeps_the_maps_zoom(page):
    page.mouse.move(*map_position(page, 0.9, 0.9))
    before = axis_range(page, MAP)
    page.mouse.wheel(0, -200)
    page.wait_for_function(f"document.querySelector('{MAP}')._fullLayout.xaxis.range[0] > {before[0]}")
    page.wait_for_timeout(500)  # Plotly applies the wheel's last step after a pause
    zoomed = axis_range(page, MAP)
    page.mouse.click(*map_position(page, 1, 1))
    page.get_by_text("picked: 3", exact=True).wait_for()
    page.wait_for_function(f"document.querySelector('{MAP}').layout.meta === 3")
    assert axis_range(page, MAP) == zoomed


def test_nothing_is_offered_that_would_leave_the_machine(page):
    page.hover(f"{CURVE} .nsewdrag")
    buttons = page.eval_on_selector_all(f"{CURVE} .modebar-btn", "all => all.map(b => b.getAttribute('data-title'))")
    assert "Download plot as a PNG" in buttons
    assert not [title for title in buttons if re.search("share|cloud|edit|plotly", title or "", re.IGNORECASE)]
    assert page.locator(f"{CURVE} .modebar-btn--logo").count() == 0


def test_text_follows_the_theme(page):
    tick = f"{CURVE} .xtick text"
    colour = f"getComputedStyle(document.querySelector('{tick}')).fill"
    assert brightness(page.evaluate(colour)) < 100
    page.evaluate(f"document.querySelector('{CURVE}').mark = 1")
    page.emulate_media(color_scheme="dark")  # Streamlit follows, and so must the chart
    page.wait_for_function(f"Number({colour}.match(/\\d+/)[0]) > 150")
    wait_for_updates(page, 1)
    assert brightness(page.evaluate(colour)) > 150
    assert page.evaluate(f"document.querySelector('{CURVE}').mark")


def test_charts_stay_when_an_update_overtakes_another_one(page):
    nodes = f"[document.querySelector('{CURVE}'), document.querySelector('{MAP}')]"
    page.evaluate(f"{nodes}.forEach(graph => graph.mark = 1)")
    for scheme in ["dark", "light"] * 15:  # each is an update, or two, which meet each other
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(20)
    wait_for_updates(page, 2)
    assert page.evaluate(f"{nodes}.map(graph => graph?.mark)") == [1, 1]
    page.mouse.move(*map_position(page, 1, 1))
    page.locator(".st-key-map .thumbnail").get_by_text("image_3 · true <b>3</b>", exact=True).wait_for()


def test_a_chart_that_left_the_page_gives_its_memory_back(page):
    page.evaluate(f"window.left = document.querySelector('{MAP}')")
    switch = page.get_by_label("no map")
    switch.press(" ")  # a mouse might miss it: without the map the page becomes shorter under it
    page.locator(MAP).wait_for(state="detached")
    page.wait_for_function("window.left._fullLayout === undefined")  # Plotly.purge takes it away
    switch.press(" ")
    page.wait_for_selector(f"{MAP} .nsewdrag")
    page.mouse.move(*map_position(page, 1, 1))
    page.locator(".st-key-map .thumbnail").get_by_text("image_3 · true <b>3</b>", exact=True).wait_for()


@pytest.mark.usefixtures("afresh")  # or that page would be drawn on beside it
def test_dark_theme_from_the_start(script, chromium):
    dark = start_server(script, arguments=["--theme.base=dark"], cwd=script.parent)
    with dark as url, open_page(url) as page:
        tick = page.wait_for_selector(f"{MAP} .xtick text")
        assert brightness(tick.evaluate("node => getComputedStyle(node).fill")) > 150
        # Plotly outlines the line at the mouse in this colour: in white, if it were clear
        behind = page.evaluate(f"getComputedStyle(document.querySelector('{MAP} rect.bg')).fill")
        assert behind == page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        assert page.console_errors == []


@pytest.mark.usefixtures("afresh")  # or that page would be drawn on beside it
def test_a_plain_sentence_when_the_library_does_not_load(url, chromium):
    with open_page("about:blank") as page:
        page.route("**/plotly.min.js*", lambda route: route.abort())
        page.goto(url)
        page.get_by_text("This chart could not be drawn").first.wait_for()


def test_places_travel_as_whole_numbers():
    frames = np.random.default_rng(0).normal(size=(3, 500, 2)).astype(np.float32)
    film = Film([1, 2, 3], frames, np.zeros((3, 0, 2)), [[], [], []], ["", "", ""], 3)
    data = film.data()
    places = np.frombuffer(base64.b64decode(data["places"]), "<i2").reshape(3, 500, 2)
    np.testing.assert_allclose(places * data["scale"] + data["shift"], frames, atol=1e-4)


def brightness(colour: str) -> float:
    """The mean of red, green and blue of "rgb(r, g, b)", 0 to 255."""
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3
