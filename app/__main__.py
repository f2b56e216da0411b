"""Starts the dashboard: python -m app [--data DIR] [--runs DIR] [--port N] [--share] [--resume] [--no-browser] …"""

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import webbrowser
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import segno
import streamlit as st
from starlette.middleware import Middleware

from app import access, disconnected
from app.entrance import PATH, Entrance
from app.guard import Guard
from app.kept import Kept
from core import control, places, workers
from core.classroom import codes
from core.dataset import bar, sources
from core.dataset.loader import DataError
from core.exchange import deleted
from core.runs.files import StoreError
from core.runs.queue import queue

MOST_WORKERS = 64
HANDLES = 8192  # files and connections; forty browsers need some hundred


def main() -> int:
    """Prepares the data set if there is none, then serves the dashboard until Ctrl-C.

    Returns the exit status: 1 where the port cannot be had; wrong use ends the process with 2.
    """
    for stream in (sys.stdout, sys.stderr):  # a redirected one may have the encoding of an old console
        stream.reconfigure(errors="replace")
    options = _options()
    if problem := _port_problem(options):
        print(f"error: {problem}", file=sys.stderr)
        return 1
    if number := options.workers or int(options.share):  # the pages of a class would keep a thread from training
        os.environ[workers.WORKERS] = str(number)
        # What is left here are pages, threads that run for a moment: none shall keep Python's lock for long
        sys.setswitchinterval(0.0005)
    _allow_more_files()
    _end_with_the_terminal()
    _prepare_data(options)
    try:
        if options.share:
            _let_the_class_in(options)
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _serve(options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app", description="Opens the TripletLab dashboard.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the data set (default: mnist/)")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="the folder of runs (default: checkpoints/)")
    parser.add_argument("--port", type=_port, default=8501, help="default: 8501")
    parser.add_argument("--share", action="store_true", help="let a class in, with codes, from other computers")
    parser.add_argument(
        "--viewers", choices=("all", "none"), default="all", help="who looks on in a shared lab without a code"
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a name by which others reach it, of a proxy"
    )
    parser.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        help="train N runs at a time, each in a process of its own (default: 1 in a shared lab, else none: a thread)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the runs that were interrupted")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    return parser.parse_args()


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers from 1 to {MOST_WORKERS}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; choose a number from 1 to 65535, such as 8501")
    return int(text)


def _port_problem(options) -> str:
    """Why nobody can be served at the port; empty if it is free."""
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_address(options), options.port))
            probe.listen(1)
        except OSError as error:
            return f"port {options.port} cannot be used ({error.strerror}); choose another one with --port"
    return ""


def _address(options) -> str:
    return "0.0.0.0" if options.share else "127.0.0.1"


def _allow_more_files() -> None:
    """Raises the number of files this process may have open: macOS begins with 256, three a browser session."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HANDLES if hard == resource.RLIM_INFINITY else min(HANDLES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open_files() -> int:
    """How many files this process may have open."""
    try:
        import resource
    except ImportError:  # Windows
        return HANDLES
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return HANDLES if soft == resource.RLIM_INFINITY else soft


def _end_with_the_terminal() -> None:
    """Treats a closed terminal like SIGTERM: the run is saved. Under nohup it goes on."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))


def _prepare_data(options) -> None:
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


def _let_the_class_in(options) -> None:
    """Makes the lab a shared one and prints how to get in. Raises StoreError."""
    address = f"http://{_network_address()}:{options.port}"
    access.share(options.viewers, address)
    group = codes.read(places.runs_folder())
    print(f"\nThe class: {address}  class code {codes.spelled(group.class_code)}")
    segno.make(f"{address}{PATH}?code={group.class_code}").terminal(compact=True)
    print(
        f"\nThe teacher only: {address}{PATH}  teacher's code {codes.spelled(group.teacher_code)}\n"
        "New codes: python -m core class new-code\n",
        flush=True,
    )


def _serve(options) -> None:
    print(
        "Ctrl-C ends the dashboard; a run in progress is saved at its next step, is listed as interrupted when the "
        "dashboard is started again, and goes on when you press Resume (or at once, with --resume).",
        flush=True,
    )
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # not a line for every file of every page
    url = f"http://127.0.0.1:{options.port}{PATH if options.share else ''}"

    @asynccontextmanager
    async def when_served(_):
        disconnected.bound(_open_files())
        if _has_screen() and not options.no_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        deleted.tidy(places.runs_folder())
        if options.resume:
            control.resume_interrupted(places.runs_folder(), _say)
        yield
        queue().shutdown()  # saves the run in progress; a signal may end the process before atexit has its turn

    settings = {"server.port": options.port, "server.address": _address(options)}
    if options.share:  # a named address, or Streamlit would ask a host on the internet for its own
        settings["browser.serverAddress"] = _network_address()
    doors = [Middleware(Guard, hosts=options.allow_host), *[Middleware(Entrance)] * options.share, Middleware(Kept)]
    with suppress(KeyboardInterrupt):  # the usual end, after the server has closed its doors
        page = Path(__file__).resolve().parent / "main.py"
        st.App(page, lifespan=when_served, middleware=doors).run(config=settings)


def _say(text: str, good: bool) -> None:
    print(text, file=sys.stdout if good else sys.stderr, flush=True)


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
