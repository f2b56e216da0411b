"""A run in training in a real browser: one step shows what it changed."""

import sys

import pytest

from core import experiment
from core.runs import store, writing
from tests.app.browser import ROOT, free_port, open_page, skip_without_browser, start_server

skip_without_browser()
from playwright.sync_api import expect  # noqa: E402


@pytest.fixture
def dashboard(lab):
    port = free_port()
    command = [sys.executable, "-m", "app", "--port", str(port), "--no-browser"]
    with start_server(ROOT / "app" / "main.py", port=port, command=command) as url:
        yield url


def test_one_step_of_a_paused_run_shows_what_it_changed(dashboard, lab, tiny, digits):
    seen = []
    with writing.create(tiny, digits, lab) as writer:
        for event in experiment.run(writer, digits, lambda: "pause" if seen else None):
            seen.append(event)
    with open_page(f"{dashboard}/train?run={writer.id}", 1280, 1200) as page:
        page.get_by_text("Microscope: epoch 1, step 1").wait_for(timeout=60_000)
        page.locator(".st-key-one_step button").first.click()
        page.get_by_text("Microscope: epoch 1, step 2").wait_for(timeout=90_000)
        expect(page.get_by_text("Resume goes on at epoch 1, step 3.")).to_be_visible(timeout=90_000)
        assert store.read(writer.folder).status == "paused"
        assert "→" in page.locator(".lab-scope b").first.inner_text()
        assert page.console_errors == []
