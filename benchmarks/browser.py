"""The lab as its users have it, for the benchmarks: its real server, and Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
SLOWEST_MAP = 180_000  # milliseconds until UMAP has been compiled


def browser_path() -> str | None:
    """The browser that TRIPLETLAB_BROWSER names, else one that is installed; None without any."""
    installed = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("TRIPLETLAB_BROWSER") or next(filter(None, installed), None)


@contextmanager
def serve(data: Path, runs: Path, *options: str) -> Iterator[str]:
    """`python -m app` over these folders in a process of its own: its address, once it answers. Stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "app", "--no-browser", "--port", str(port), "--data", str(data)]
    beside = {"TRIPLETLAB_PICS": str(runs.parent / "pics"), "TRIPLETLAB_UPLOADS": str(runs.parent / "uploads")}
    silent = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = subprocess.Popen([*command, "--runs", str(runs), *options], cwd=ROOT, env=os.environ | beside, **silent)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 60
        while not _answers(url):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the lab did not start: {' '.join(server.args)}")
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


@contextmanager
def open_page(url: str, width: int = 1440, height: int = 900) -> Iterator:
    """The address in a fresh Chromium: Playwright's page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path(), args=["--no-sandbox", "--disable-background-networking"]
        )
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(url)
            yield page
        finally:
            browser.close()


def wait_for_umap(page) -> None:
    """On the Embedding page: waits until its map is a UMAP. Nothing is left then for the server to load or compile."""
    page.get_by_text("Read only who is near whom").wait_for(timeout=SLOWEST_MAP)
