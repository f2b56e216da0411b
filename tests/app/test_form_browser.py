"""The form of the Train page in a real browser: what is trained is what is seen, and nothing typed is lost."""

import pytest

from core.runs import store, writing
from core.settings.in_words import FIELDS
from core.settings.presets import from_preset
from tests.app.browser import idle, open_page, skip_without_browser

skip_without_browser()
from playwright.sync_api import expect  # noqa: E402

NUMBERS = [name for name, field in FIELDS.items() if field.type in (int, float) and not field.choices]
# Whether what the keyboard is at stands out; the page itself, which then rolls with the arrow keys, needs no frame
FOCUS_SEEN = """() => {
  const element = document.activeElement, style = getComputedStyle(element);
  const framed = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  return framed || style.boxShadow !== 'none' || element.tagName === 'MAIN';
}"""

pytestmark = pytest.mark.usefixtures("chromium")


@pytest.fixture
def dashboard(emptied) -> str:
    return emptied[0]


@pytest.fixture
def lab(emptied):
    return emptied[1]


def field(page, name: str):
    return page.locator(f".st-key-set_{name} input")


def start(page):
    return page.locator(".st-key-start button").first


def enter(page, name: str, text: str) -> None:
    field(page, name).fill(text)
    field(page, name).press("Tab")


def unfold(page) -> None:
    """Opens the rare settings, by key: each one that opens moves those below it."""
    idle(page)  # all of them are there
    for fold in page.locator(".st-key-fields details").all():
        fold.locator("summary").press("Enter")
        expect(fold).to_have_js_property("open", True)


def shown(page) -> None:
    field(page, "epochs").wait_for(timeout=60_000)


def test_a_wrong_number_is_named_and_nothing_starts(dashboard, lab):
    with open_page(f"{dashboard}/train?preset=facenet-semi-hard", 1280, 720) as page:
        shown(page)
        unfold(page)
        drawn = page.locator(", ".join(f".st-key-set_{name} input" for name in NUMBERS))
        drawn.nth(10).wait_for()  # more than ten
        for name in ("learning_rate", "seed"):  # one that is folded away; test_exercise.py has them all
            before = field(page, name).input_value()
            enter(page, name, "12x")
            page.get_by_role("alert").filter(has_text=FIELDS[name].label).wait_for(timeout=30_000)
            assert start(page).is_disabled()
            expect(field(page, name)).to_have_value("12x", timeout=30_000)
            enter(page, name, "")  # cleared: as before
            expect(start(page)).to_be_enabled(timeout=30_000)
            expect(field(page, name)).to_have_value(before)
        enter(page, "epochs", "99999")
        page.get_by_role("alert").filter(has_text="Epochs: 99999").wait_for(timeout=30_000)
        assert start(page).is_disabled()
        assert store.list_runs(lab) == []
        assert page.console_errors == []


def test_what_is_typed_and_started_at_once_is_trained(dashboard, lab):
    with open_page(f"{dashboard}/train?preset=quick&width=8&threads=1", 1280, 720) as page:
        shown(page)
        enter(page, "learning_rate", "0,05")
        field(page, "epochs").fill("2")
        start(page).click()  # without leaving the field first
        page.get_by_text("done", exact=True).first.wait_for(timeout=90_000)
        (run,) = store.list_runs(lab)
        wanted = from_preset("quick", width=8, threads=1, learning_rate=0.05, epochs=2)
        assert set(dict(run.config).items()) - set(dict(wanted).items()) == set()
        expect(field(page, "learning_rate")).to_have_value("0,05", timeout=30_000)
        field(page, "epochs").fill("-3")
        start(page).click()
        page.get_by_role("alert").filter(has_text="Epochs: -3").wait_for(timeout=30_000)
        assert len(store.list_runs(lab)) == 1


def test_the_form_outlives_pages_reloads_and_a_run(dashboard, lab, tiny, digits):
    with writing.create(tiny.changed(epochs=50), digits, lab) as writer:
        writer.update(status="running")  # the page draws itself anew all the time
        with open_page("about:blank", 1280, 720) as page:
            heard = []  # what the server says
            page.on("websocket", lambda socket: socket.on("framereceived", lambda _: heard.append("")))
            page.goto(f"{dashboard}/train?run={writer.id}")
            shown(page)
            enter(page, "epochs", "7")
            enter(page, "learning_rate", "0.02")
            unfold(page)
            field(page, "seed").fill("12")  # not left: still being typed
            for _ in range(2):  # drawings of the run
                heard.clear()
                while not heard:
                    page.wait_for_timeout(20)
            expect(field(page, "seed")).to_have_value("12", timeout=30_000)
            field(page, "seed").press("Enter")
            page.wait_for_url("**seed=12**")
            for leave in (lambda: page.get_by_role("link", name="Mistakes", exact=True).first.click(), page.reload):
                leave()
                page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=60_000)
                page.get_by_role("link", name="Train", exact=True).first.click()
                shown(page)
                expect(field(page, "epochs")).to_have_value("7")
                expect(field(page, "learning_rate")).to_have_value("0.02")
            assert "preset=quick&epochs=7&learning_rate=0.02&seed=12" in page.url
            with open_page(f"{dashboard}/train") as fresh:  # another session has a form of its own
                shown(fresh)
                expect(field(fresh, "epochs")).to_have_value("9", timeout=30_000)


def test_a_teachers_link_locks_hides_and_is_copied(dashboard):
    link = f"{dashboard}/train?preset=collapse&margin=0.5&epochs=x&lock=learning_rate,preset&hide=seed,augmentation,foo"
    with open_page(link, 1280, 720) as page:
        shown(page)
        expect(field(page, "margin")).to_have_value("0.5", timeout=30_000)
        assert field(page, "learning_rate").is_disabled()
        assert page.get_by_label("Preset", exact=True).first.is_disabled()
        assert page.locator(".st-key-set_augmentation").count() == 0
        said = page.get_by_role("alert").first.inner_text()
        assert "Epochs: 'x' is not a whole number" in said
        assert "hide names “foo”" in said
        page.get_by_role("button", name="Understood").click()
        page.get_by_role("alert").first.wait_for(state="detached", timeout=30_000)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="Copy link").click()
        copied = page.evaluate("navigator.clipboard.readText()")
        end = "train?preset=collapse&margin=0.5&lock=learning_rate,preset&hide=seed,augmentation"
        assert copied == f"{dashboard}/{end}"
        assert page.console_errors == []


def test_the_runs_buttons_and_start_are_in_view_and_near_for_a_keyboard(dashboard, lab, tiny, digits):
    with writing.create(tiny.changed(epochs=50), digits, lab) as writer:
        writer.update(status="running")
        with open_page(f"{dashboard}/train?run={writer.id}", 1280, 720) as page:
            shown(page)
            for name in ("start", "pause", "stop"):
                button = page.locator(f".st-key-{name} button").first
                box = button.bounding_box()
                assert box["y"] + box["height"] < 720, name
            charts = page.locator(".js-plotly-plot")
            charts.nth(3).wait_for()
            assert charts.nth(3).bounding_box()["y"] < 720 - 120  # two rows of curves begin in view
            stops = []
            while "Stop" not in stops and len(stops) < 15:
                page.keyboard.press("Tab")
                stops.append(page.evaluate("document.activeElement.innerText"))
                assert page.evaluate(FOCUS_SEEN), stops[-1]
            assert "Stop" in stops, stops
            page.locator('[data-testid="stMain"]').evaluate("element => element.scrollTo(0, element.scrollHeight)")
            expect(page.get_by_text("All settings of this run")).to_be_in_viewport(ratio=1)
            expect(start(page)).to_be_in_viewport(ratio=1)  # the form stays where it is
            page.locator('[data-testid="stMain"]').evaluate("element => element.scrollTo(0, 0)")
            page.set_viewport_size({"width": 390, "height": 800})
            page.get_by_text("Show the settings").wait_for(timeout=30_000)
            run_at = page.get_by_role("button", name="Stop", exact=True).bounding_box()["y"]
            assert run_at < 500
            assert start(page).bounding_box()["y"] > run_at
            assert not field(page, "epochs").is_visible()
            page.get_by_text("Show the settings").click()
            field(page, "epochs").wait_for(timeout=30_000)
