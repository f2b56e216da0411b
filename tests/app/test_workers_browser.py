"""A lab that trains each run in a process of its own, in a real browser: one of them is killed."""

import re
import time

import psutil
import pytest

from core.runs import store
from tests.app.browser import open_page, skip_without_browser, start_dashboard

skip_without_browser()
SOON = 120_000  # milliseconds: two workers import PyTorch
ADDRESS = "train?preset=quick&width=8&threads=1&blocks=1,1&epochs=500"

pytestmark = pytest.mark.usefixtures("chromium")


def worker_of(run_id: str) -> psutil.Process:
    """The process that trains this run."""
    (found,) = [each for each in psutil.process_iter(["cmdline"]) if run_id in (each.info["cmdline"] or ())]
    return found


def until(condition) -> None:
    end = time.monotonic() + SOON / 1000
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_pages_and_the_other_run_go_on_when_a_worker_is_killed(digits, tmp_path):
    runs, pics = tmp_path / "runs", {"TRIPLETLAB_PICS": tmp_path / "pics"}
    where = ("--data", digits.folder, "--runs", runs, "--workers", "2")
    with start_dashboard(*where, env=pics) as url, open_page("about:blank") as page:
        for seed in (1, 2):
            page.goto(f"{url}/{ADDRESS}&seed={seed}")
            page.locator(".st-key-start button").click()
            until(lambda wanted=seed: len(store.list_runs(runs)) == wanted)
        until(lambda: all(run.status == "running" for run in store.list_runs(runs)))
        other, killed = [run.id for run in store.list_runs(runs)]

        page.goto(f"{url}/train?run={killed}")
        page.get_by_text(re.compile(r"Epoch \d+/500")).wait_for(timeout=SOON)
        worker_of(killed).kill()
        page.get_by_text("interrupted", exact=True).first.wait_for(timeout=SOON)
        assert store.read(runs / killed).status == "interrupted"
        assert store.read(runs / other).status == "running"
        page.get_by_text("nothing saved is lost").wait_for(timeout=SOON)
        page.locator(".st-key-resume button").first.wait_for()

        page.get_by_role("link", name="Home", exact=True).click()
        page.get_by_text("interrupted").first.wait_for(timeout=SOON)
        page.goto(f"{url}/train?run={other}")
        page.get_by_text(re.compile(r"Epoch \d+/500")).wait_for(timeout=SOON)

        assert page.console_errors == []
