"""Pulling the plug in a real browser and on a real server: no click, reload, crash or closed window costs a result."""

import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import pytest

from app.parts.messages import percent
from core import experiment
from core.runs import store, writing
from core.runs.store import Run
from tests.app.browser import ROOT, free_port, open_page, skip_without_browser, start_server

skip_without_browser()

SETTINGS = {"triplets": 1600, "epochs": 4}  # 800 steps of a few milliseconds each


@pytest.fixture
def long(tiny):
    """A run that lasts long enough to be interrupted."""
    return tiny.changed(**SETTINGS)


@pytest.fixture
def waiting(lab, long, digits) -> Run:
    """A run that was begun and left at once: it waits for Resume."""
    writing.create(long, digits, lab).close()
    return newest(lab)


def command(port: int, *options: str) -> list[str]:
    return [sys.executable, "-m", "app", "--no-browser", "--port", str(port), *options]


@pytest.fixture
def dashboard(lab):
    port = free_port()
    with start_server(ROOT / "app" / "main.py", port=port, command=command(port)) as url:
        yield url


def newest(runs: Path) -> Run:
    return store.list_runs(runs)[0]


def until(reached: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def resume(page) -> None:
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("· step").first.wait_for(timeout=90_000)


def healthy(page) -> None:
    assert page.console_errors == []
    assert page.foreign_requests == []


def see_the_end(page, run: Run) -> None:
    """The page, left alone, shows that the run is done and its result."""
    page.get_by_text("done", exact=True).first.wait_for(timeout=90_000)
    page.get_by_text(percent(run.result.test_accuracy)).first.wait_for(timeout=30_000)
    assert f"run={run.id}" in page.url


def test_a_closed_tab_a_reload_and_five_tabs_change_nothing(dashboard, lab, waiting):
    address = f"{dashboard}/train?run={waiting.id}"
    with open_page(address) as page:
        resume(page)
    assert newest(lab).status == "running"  # the tab is closed
    with open_page(address) as page:
        page.get_by_text("· step").first.wait_for(timeout=60_000)
        page.reload()
        page.get_by_text("· step").first.wait_for(timeout=60_000)
        tabs = [page.context.new_page() for _ in range(4)]
        for tab in tabs:
            tab.goto(address)
        until(lambda: not newest(lab).active, 400)
        run = newest(lab)
        assert (run.status, run.result.epochs) == ("done", SETTINGS["epochs"])
        for tab in [page, *tabs]:
            see_the_end(tab, run)
        healthy(page)


def test_pause_resume_and_stop_by_mouse(dashboard, lab, long, digits):
    writing.create(long.changed(epochs=200), digits, lab).close()  # no end before the mouse comes
    address = f"{dashboard}/train?run={newest(lab).id}"
    with open_page(address) as page:
        watcher = page.context.new_page()  # somebody else looks at the same run
        watcher.goto(address)
        watcher.get_by_role("button", name="Resume").wait_for()
        resume(page)
        watcher.get_by_text("· step").first.wait_for(timeout=30_000)  # its clock starts by itself
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("Paused. Resume goes on at epoch").wait_for(timeout=60_000)
        assert newest(lab).status == "paused"
        watcher.get_by_text("Paused. Resume goes on at epoch").wait_for(timeout=30_000)
        watcher.get_by_role("button", name="Resume").dblclick()  # the second click does nothing
        page.get_by_text("· step").first.wait_for(timeout=60_000)
        page.locator(".st-key-stop button").first.click()
        page.get_by_text("Stopped. What is shown is the model so far.").wait_for(timeout=60_000)
        run = newest(lab)
        assert run.status == "stopped"
        assert run.result.mistakes == len(store.mistakes(run))
        assert page.get_by_role("alert").filter(has_text="another process").count() == 0
        healthy(page)


def test_a_double_click_begins_one_run(dashboard, lab):
    with open_page(f"{dashboard}/train") as page:
        page.get_by_role("button", name="Start").dblclick()
        page.locator(".st-key-stop button").first.wait_for(timeout=60_000)
        page.wait_for_timeout(1500)
        assert len(store.list_runs(lab)) == 1
        page.locator(".st-key-stop button").first.click()
        until(lambda: not newest(lab).active)
        healthy(page)


@contextmanager
def served(port: int, *options: str):
    """A dashboard that the test itself ends."""
    server = subprocess.Popen(
        command(port, *options), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        until(lambda: server.poll() is not None or _answers(port))
        yield server
    finally:
        server.kill()
        server.communicate()


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
    with served(port) as server, open_page(f"http://127.0.0.1:{port}/train?run={waiting.id}") as page:
        resume(page)
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


def test_ctrl_c_saves_the_run_and_a_restart_can_go_on_by_itself(lab, waiting):
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
    with served(port), open_page(f"http://127.0.0.1:{port}/train?run={run.id}") as page:
        page.get_by_text("Resume goes on at epoch").wait_for(timeout=60_000)  # not without being asked
        page.get_by_role("button", name="Resume").wait_for()
        healthy(page)
