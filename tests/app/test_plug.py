"""Pulling the plug in a real browser and on a real server: no click, reload, crash or closed window costs a result."""

import shutil
import signal
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import pytest

from app.parts.messages import percent
from core import experiment
from core.learning.states import Request
from core.runs import store, writing
from core.runs.store import Run
from tests.app.browser import free_port, open_page, skip_without_browser
from tests.processes import SLOW_STEPS, Child

skip_without_browser()

pytestmark = pytest.mark.usefixtures("chromium")
SETTINGS = {"triplets": 400, "epochs": 5}  # 250 steps of a few milliseconds each


@pytest.fixture
def long(tiny):
    """A run that lasts long enough to be interrupted."""
    return tiny.changed(**SETTINGS)


@pytest.fixture
def endless(tiny):
    """A run that ends only when it is told to."""
    return tiny.changed(triplets=400, epochs=1000)


@pytest.fixture
def waiting(lab, long, digits) -> Run:
    """A run that was begun and left at once: it waits for Resume."""
    writing.create(long, digits, lab).close()
    return newest(lab)


def newest(runs: Path) -> Run:
    return store.list_runs(runs)[0]


def until(reached: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def resume(page) -> None:
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("· step").first.wait_for(timeout=90_000)


def healthy(page) -> None:
    assert page.console_errors == []
    assert page.foreign_requests == []


def see_the_end(page, run: Run) -> None:
    """The page, left alone, shows that the run has ended and its result."""
    page.get_by_text(run.status, exact=True).first.wait_for(timeout=90_000)
    page.get_by_text(percent(run.result.test_accuracy)).first.wait_for(timeout=30_000)
    assert f"run={run.id}" in page.url


def test_a_closed_tab_a_reload_and_three_tabs_change_nothing(emptied, endless, digits):
    dashboard, lab = emptied
    writing.create(endless, digits, lab).close()
    address = f"{dashboard}/train?run={newest(lab).id}"
    with open_page(address) as page:
        resume(page)
    assert newest(lab).status == "running"  # the tab is closed
    with open_page(address) as page:
        page.get_by_text("· step").first.wait_for(timeout=60_000)
        page.reload()
        page.get_by_text("· step").first.wait_for(timeout=60_000)
        tabs = [page.context.new_page() for _ in range(2)]
        for tab in tabs:
            tab.goto(address)
            tab.get_by_text("· step").first.wait_for(timeout=60_000)
        until(lambda: newest(lab).result)
        store.request(newest(lab), Request.STOP)  # as another process does
        until(lambda: not newest(lab).active)
        run, steps = newest(lab), store.steps(newest(lab))
        assert (run.status, run.notes) == ("stopped", ())
        assert (steps["epoch"] * 1000 + steps["step"]).is_monotonic_increasing  # one training, which nobody began anew
        for tab in [page, *tabs]:
            see_the_end(tab, run)
        healthy(page)


def test_pause_resume_and_stop_by_mouse(emptied, endless, digits):
    dashboard, lab = emptied
    writing.create(endless, digits, lab).close()
    address = f"{dashboard}/train?run={newest(lab).id}"
    with open_page(address) as page:
        watcher = page.context.new_page()  # somebody else looks at the same run
        watcher.goto(address)
        watcher.get_by_role("button", name="Resume").wait_for()
        resume(page)
        watcher.get_by_text("· step").first.wait_for(timeout=30_000)  # its clock starts by itself
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("Paused. Resume goes on").wait_for(timeout=60_000)
        assert newest(lab).status == "paused"
        watcher.get_by_text("Paused. Resume goes on").wait_for(timeout=30_000)
        watcher.get_by_role("button", name="Resume").dblclick()  # the second click does nothing
        page.get_by_text("· step").first.wait_for(timeout=60_000)
        page.locator(".st-key-stop button").first.click()
        page.get_by_text("Stopped. What is shown is the model so far.").wait_for(timeout=60_000)
        run = newest(lab)
        assert run.status == "stopped"
        assert run.result.mistakes == len(store.mistakes(run))
        page.get_by_role("link", name="See the embedding").wait_for()
        assert page.get_by_role("alert").filter(has_text="another process").count() == 0
        healthy(page)


def test_a_double_click_begins_one_run(emptied):
    dashboard, lab = emptied
    with open_page(f"{dashboard}/train?width=8&blocks=1,1&threads=1") as page:
        page.get_by_role("button", name="Start").dblclick()
        page.locator(".st-key-stop button").first.click(timeout=60_000)  # heard after both clicks
        until(lambda: not newest(lab).active)
        assert len(store.list_runs(lab)) == 1
        healthy(page)


@contextmanager
def served(port: int, *options: str, env: dict[str, str] | None = None):
    """A dashboard that the test itself ends."""
    server = Child("app", "--no-browser", "--port", port, *options, env=env, together=True)
    try:
        until(lambda: server.poll() is not None or _answers(port))
        yield server
    finally:
        server.kill()


def _answers(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).status == 200
    except (URLError, OSError):
        return False


def test_a_killed_server_costs_no_result(lab, waiting, long, digits, tmp_path):
    with writing.create(long, digits, tmp_path / "whole") as writer:
        for _ in experiment.run(writer, digits):
            pass
    uninterrupted = store.read(writer.folder)
    port = free_port()
    address = f"http://127.0.0.1:{port}/train?run={waiting.id}"
    with served(port, env=SLOW_STEPS) as server, open_page(address) as page:
        page.get_by_role("button", name="Resume").click()
        until(lambda: newest(lab).result)  # after its first epoch,
        server.send_signal(signal.SIGKILL)  # in the middle of the second
        server.wait()
        assert newest(lab).status == "interrupted"
        with served(port):
            page.reload()
            page.get_by_text("The process that trained it ended; nothing saved is lost.").wait_for(timeout=60_000)
            page.get_by_role("button", name="Resume").click()
            until(lambda: newest(lab).status == "done", 400)
            see_the_end(page, newest(lab))
            assert page.foreign_requests == []
    run = newest(lab)
    assert run.result == uninterrupted.result
    times = ["seconds"]
    assert store.history(run).drop(columns=times).equals(store.history(uninterrupted).drop(columns=times))


def test_ctrl_c_saves_the_run_and_a_restart_can_go_on_by_itself(lab, waiting, emptied):
    port = free_port()
    with served(port, "--resume") as server:
        until(lambda: len(store.steps(newest(lab))) > 5)
        server.send_signal(signal.SIGINT)
        said, _ = server.communicate(timeout=60)
    assert "listed as interrupted when the dashboard is started again" in said
    assert f"Run {waiting.id} goes on." in said
    assert "Traceback" not in said
    run = newest(lab)
    assert run.status == "interrupted"
    assert store.newest_checkpoint(run)[0]["training"]["step"] >= store.steps(run)["step"].iloc[-1]
    dashboard, runs = emptied
    shutil.copytree(lab, runs)
    with open_page(f"{dashboard}/train?run={run.id}") as page:
        page.get_by_text("Resume goes on").wait_for(timeout=60_000)  # not without being asked
        page.get_by_role("button", name="Resume").wait_for()
        healthy(page)
