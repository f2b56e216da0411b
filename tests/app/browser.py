"""A Streamlit server and a Chromium window for tests of what only a browser shows."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.processes import Child

# The first one draws as the second does, without the frame of windows, which costs a sixth of the browser's time
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ROOT = Path(__file__).parents[2]
SOON = 60_000  # milliseconds that a page may take for whatever is asked, on a busy machine
MAIN = ROOT / "app" / "main.py"
SERVER_OPTIONS = [
    "--browser.gatherUsageStats=false",
    "--server.headless=true",
    "--server.fileWatcherType=none",
    "--server.address=127.0.0.1",
]


def browser_path() -> Path | None:
    """The browser that TRIPLETLAB_BROWSER names, as .ci/run does, else one that is installed; None without any."""
    if named := os.environ.get("TRIPLETLAB_BROWSER"):
        return Path(named)
    found = filter(None, map(shutil.which, BROWSERS))
    return next(map(Path, found), None)


def skip_without_browser() -> None:
    """Skip the calling test or module where no browser can be started; fail where one is named and not there."""
    path = browser_path()
    if "TRIPLETLAB_BROWSER" in os.environ:
        import playwright  # noqa: F401

        if not path or not path.exists():
            raise RuntimeError(f"TRIPLETLAB_BROWSER names {path}, which is not there")
        return
    pytest.importorskip("playwright", reason="playwright is not installed (pip install playwright)")
    if not path:
        pytest.skip("no browser is installed (apt-get install chromium)", allow_module_level=True)


_ports: list[int] = []  # that were used before


def free_port() -> int:
    """A TCP port that nobody listens on right now. Rather one that was used before: what the browser has compiled of
    its scripts it knows by their address.
    """
    for port in [*_ports, 0]:
        with socket.socket() as probe, suppress(OSError):
            if os.name != "nt":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
            if not port:
                _ports.append(probe.getsockname()[1])
            return probe.getsockname()[1]


@contextmanager
def start_server(
    script: Path, arguments: list[str] | None = None, cwd: Path = ROOT, env: dict[str, str] | None = None
) -> Iterator[str]:
    """Run `streamlit run script` in a process of its own; yields its URL when it answers, stops it at the end.

    arguments: further options, e.g. ["--theme.base=dark"].  env: variables on top of this process's.
    Raises RuntimeError with the server's output when it does not answer within 90 seconds.
    """
    port = free_port()
    command = ["run", script, f"--server.port={port}", *SERVER_OPTIONS, *(arguments or [])]
    with forked("streamlit", *command, port=port, env=env, cwd=cwd) as url:
        yield url


@contextmanager
def start_process(command: list[str], port: int, env: dict[str, str]) -> Iterator[str]:
    """A server in a process that has imported nothing yet; yields its URL when it answers, stops it at the end.

    Raises RuntimeError with the server's output when it does not answer within 90 seconds.
    """
    variables = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | env
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT)

        def said() -> str:
            output.seek(0)
            return output.read().decode(errors="replace")

        try:
            yield served(server, port, said)
        finally:
            _end(server)


def served(server, port: int, said: Callable[[], str]) -> str:
    """Waits until the server answers; its address. Raises RuntimeError with what it said."""
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 90
    while not _answers(f"{url}/_stcore/health"):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start:\n{said()}")
        time.sleep(0.03)
    return url


def _end(server) -> None:
    server.terminate()
    try:
        server.wait(timeout=10)
    except (subprocess.TimeoutExpired, TimeoutError):
        server.kill()
        server.wait(timeout=60)


@contextmanager
def start_dashboard(*options: str, port: int | None = None, env: dict | None = None) -> Iterator[str]:
    """Run `python -m app` on a port, else on a free one, without a browser; yields its URL when it answers.

    UMAP is not compiled there: that takes a core for ten seconds, and the maps of the tests are of 72 points.
    Raises RuntimeError with the server's output when it does not answer within 90 seconds.
    """
    port = port or free_port()
    with forked("app", "--no-browser", "--port", port, *options, port=port, env=env) as url:
        yield url


@contextmanager
def forked(module: str, *arguments, port: int, env: dict | None = None, cwd: Path = ROOT) -> Iterator[str]:
    """Run `python -m module arguments`, which serves at the port, as tests/processes.py does; yields its URL."""
    variables = {name: str(value) for name, value in (env or {}).items()}
    server = Child(module, *arguments, env=variables, together=True, cwd=cwd)
    try:
        yield served(server, port, server.said)
    finally:
        _end(server)
        server.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


_browsers: list = []  # the one that is open, if any
HOME = "http://127.0.0.1/"  # a page without a server, of the same site as all of them


@contextmanager
def one_browser() -> Iterator:
    """A Chromium for all pages that are opened within; yields Playwright's browser.

    All pages of its first window are drawn by one process, which a page without content keeps alive: what it has
    compiled of Streamlit and Plotly once serves the next page too, and a load costs half.
    """
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=SOON)
    if _browsers:
        yield _browsers[0]
        return
    options = ["--no-sandbox", "--disable-background-networking", "--process-per-site"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(browser_path()), args=options)
        _browsers.append(browser)
        try:
            home = browser.new_context().new_page()
            home.route(HOME, lambda route: route.fulfill(body=""))
            home.goto(HOME)
            home.unroute_all()  # as long as there is a route nothing comes from the cache
            yield browser
        finally:
            _browsers.pop().close()


@contextmanager
def open_page(url: str, width: int = 1280, height: int = 800) -> Iterator:
    """Open the URL as somebody new; yields Playwright's page with two lists, both empty on a healthy page.

    They are those of all tabs; page.context.new_page() opens another one.
    page.console_errors: error messages of the console and uncaught exceptions.
    page.foreign_requests: addresses of requests to any other machine.
    """
    with one_browser() as browser, _window(browser) as window:
        page = window.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.console_errors, page.foreign_requests = [], []
        listeners = {
            "console": lambda message: _note_error(message, page.console_errors),
            "weberror": lambda error: page.console_errors.append(str(error.error)),
            "request": lambda request: _note_foreign(request.url, page.foreign_requests),
        }
        for event, listener in listeners.items():
            window.on(event, listener)
        try:
            page.goto(url)
            yield page
        finally:
            for event, listener in listeners.items():
                window.remove_listener(event, listener)


@contextmanager
def _window(browser) -> Iterator:
    """A window of somebody new, who has nothing from the one before; while somebody looks, it is a second one."""
    window = browser.contexts[0]
    second = len(window.pages) > 1
    if second:
        window = browser.new_context()
    window.set_default_timeout(SOON)
    try:
        yield window
    finally:
        if second:
            window.close()
        else:
            _forget(window)


def _forget(window) -> None:
    """Closes the pages of the first window, and what they have left in the browser is gone."""
    home, *pages = window.pages
    tell = window.new_cdp_session(home)
    for page in pages:
        kept = {"origin": page.url, "storageTypes": "all"}
        page.close()
        tell.send("Storage.clearDataForOrigin", kept)
    tell.detach()
    window.clear_cookies()
    window.clear_permissions()
    window.set_offline(False)


def _note_error(message, found: list[str]) -> None:
    # At an address such as /results Streamlit first looks for its server below that page: these 404s are its own.
    own = ("/_stcore/health", "/_stcore/host-config")
    if message.type == "error" and not message.location.get("url", "").endswith(own):
        found.append(message.text)


def _note_foreign(url: str, found: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
        found.append(url)


def be_at(page, url: str) -> bool:
    """Opens the address, except where the page is there already: a load costs seconds. Whether it was opened."""
    page.mouse.move(0, 0)
    if page.url == url:
        return False
    page.goto(url)
    return True


def idle(page) -> None:
    """Waits until the page is not being drawn."""
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=60_000)
