"""Starts the dashboard: python -m app [--data DIR] [--runs DIR] [--port N] [--share] [--resume] [--no-browser]."""

import argparse
import logging
import os
import socket
import sys
import threading
import webbrowser
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import streamlit as st

from core import control, places
from core.dataset import bar, loader, sources
from core.dataset.loader import DataError
from core.runs import store
from core.runs.files import StoreError
from core.runs.queue import queue
from core.settings.config import ConfigError


def main() -> int:
    """Prepares the data set if there is none, then serves the dashboard until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Opens the TripletLab dashboard.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the data set (default: mnist/)")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="the folder of runs (default: checkpoints/)")
    parser.add_argument("--port", type=int, default=8501, help="default: 8501")
    parser.add_argument("--share", action="store_true", help="let other computers of the network see the page")
    parser.add_argument("--resume", action="store_true", help="go on with the runs that were interrupted")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    options = parser.parse_args()
    if options.data:
        os.environ["TRIPLETLAB_DATA"] = str(options.data.resolve())
    if options.runs:
        os.environ["TRIPLETLAB_RUNS"] = str(options.runs.resolve())
    try:
        with bar.reading() as reading:
            found = sources.prepare(
                places.data_folder(), progress=lambda text: print(text, flush=True), reading=reading
            )
        print(f"Data set: {found.description}", flush=True)
    except DataError as error:  # the page says it as well, and what to do
        print(f"error: {error}", file=sys.stderr)
    print(
        "Ctrl-C ends the dashboard; a run in progress is saved at its next step, is listed as interrupted when the "
        "dashboard is started again, and goes on when you press Resume (or at once, with --resume).",
        flush=True,
    )
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # not a line for every file of every page
    url = f"http://127.0.0.1:{options.port}"

    @asynccontextmanager
    async def when_served(_):
        if _has_screen() and not options.no_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        if options.resume:
            _resume_interrupted()
        yield
        queue().shutdown()  # saves the run in progress; a signal may end the process before atexit has its turn

    settings = {"server.port": options.port, "server.address": "127.0.0.1"}
    if options.share:  # a named address, or Streamlit would ask a host on the internet for its own
        settings |= {"server.address": "0.0.0.0", "browser.serverAddress": _network_address()}
    with suppress(KeyboardInterrupt):  # the usual end, after the server has closed its doors
        st.App(Path(__file__).resolve().parent / "main.py", lifespan=when_served).run(config=settings)
    return 0


def _resume_interrupted() -> None:
    """Puts every run whose process has ended back into the queue, the oldest first; says what became of each."""
    for run in reversed(store.list_runs(places.runs_folder())):
        if run.status == "interrupted" and not run.archived:
            try:
                control.resume(run, loader.load(Path(run.data.folder)))
                print(f"Run {run.id} goes on.", flush=True)
            except (ConfigError, DataError, StoreError, OSError, RuntimeError) as error:
                print(f"Run {run.id} cannot go on: {error}", file=sys.stderr, flush=True)


def _has_screen() -> bool:
    """Whether a browser window can be opened here."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _network_address() -> str:
    """This computer's address in its network; loopback without one. Connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address reserved for documentation (RFC 5737)
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


if __name__ == "__main__":
    sys.exit(main())
