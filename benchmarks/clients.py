"""Forty browsers look at one live run: what a redraw takes, and what it costs the training.

    python -m benchmarks.clients [--clients 40] [--seconds 60] [--workers 0] [--data DIR]

A client is a websocket that asks for the Train page and then, as a browser does, for its live part again and again. The
training's speed without and with them is that of the same run, in turn, so that the machine is the same; both are
measured while no page is being opened. One call appends one row to results/clients.csv.
"""

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from benchmarks import results
from benchmarks.browser import serve
from core import places
from core.dataset import loader
from core.runs import store, writing
from core.runs.store import Run
from core.settings.presets import from_preset

PATIENCE = 60.0  # seconds for one answer
APART = 0.4  # seconds between two pages that are opened
SETTLING = 15.0  # seconds from the last page that opened until the measurement begins


class Client(threading.Thread):
    """One browser: keeps the seconds of each redraw until `ended` is set; `error` says why it gave up."""

    def __init__(self, url: str, run: str, ended: threading.Event):
        super().__init__(daemon=True)
        self.url, self.run_id, self.ended = url, run, ended
        self.redraws: list[float] = []
        self.looks = threading.Event()  # set once the page is drawn, or has failed
        self.error = ""
        self.page = ""  # as the server calls it, once it has answered

    def run(self) -> None:
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        try:
            with connect(address, origin=self.url, subprotocols=["streamlit"], max_size=None) as socket:
                fragment, interval = self._ask(socket, "")
                self.looks.set()
                while not self.ended.wait(interval):
                    begun = time.perf_counter()
                    fragment, interval = self._ask(socket, fragment, interval)
                    self.redraws.append(time.perf_counter() - begun)
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.looks.set()

    def _ask(self, socket, fragment: str, interval: float = 1.0) -> tuple[str, float]:
        """Asks for the page, or for one part of it; returns the part that wants to be drawn again, and when."""
        message = BackMsg()
        message.rerun_script.query_string = f"run={self.run_id}"
        message.rerun_script.page_name = "" if self.page else "train"
        message.rerun_script.page_script_hash = self.page
        message.rerun_script.fragment_id = fragment
        socket.send(message.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(socket.recv(timeout=PATIENCE))
            kind = answer.WhichOneof("type")
            if kind == "navigation":
                self.page = answer.navigation.page_script_hash
            elif kind == "auto_rerun":
                fragment, interval = answer.auto_rerun.fragment_id, answer.auto_rerun.interval
            elif kind == "delta" and answer.delta.new_element.WhichOneof("type") == "exception":
                raise RuntimeError(answer.delta.new_element.exception.message)
            elif kind == "script_finished" and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return fragment, interval  # else the page begins anew, and its answer is still to come


def measure(clients: int, seconds: float, folder: Path, workers: int = 0, settling: float = SETTLING) -> dict:
    """A row of the table; without workers the run is trained in a thread of the server."""
    with tempfile.TemporaryDirectory(prefix="tripletlab-clients-") as name:
        runs = Path(name) / "runs"
        writing.create(from_preset("quick", epochs=500), loader.load(folder), runs).close()
        with serve(folder, runs, "--resume", *["--workers", str(workers)] * bool(workers)) as url:
            (run,) = store.list_runs(runs)
            _until_it_trains(run)
            alone = [_speed(run, seconds / 2)]
            ended = threading.Event()
            browsers = [Client(url, run.id, ended) for _ in range(clients)]
            for browser in browsers:
                browser.start()
                time.sleep(APART)
            for browser in browsers:
                browser.looks.wait(PATIENCE)
            time.sleep(settling)
            for browser in browsers:
                browser.redraws.clear()
            watched = _speed(run, seconds)
            ended.set()
            for browser in browsers:
                browser.join(PATIENCE)
            alone.append(_speed(run, seconds / 2))
    for said in sorted({browser.error for browser in browsers if browser.error}):
        print(f"error: {said}", file=sys.stderr)
    redraws = [taken for browser in browsers for taken in browser.redraws]
    return {
        "clients": clients,
        "workers": workers,
        "seconds": seconds,
        "redraws": len(redraws),
        "errors": sum(bool(browser.error) for browser in browsers),
        "redraw median ms": round(1000 * np.median(redraws)) if redraws else "",
        "redraw p95 ms": round(1000 * np.quantile(redraws, 0.95)) if redraws else "",
        "steps/s alone": round(np.mean(alone), 2),
        "steps/s watched": round(watched, 2),
        "slower %": round(100 * (1 - watched / np.mean(alone)), 1),
        **results.circumstances(),
    }


def _until_it_trains(run: Run) -> None:
    end = time.monotonic() + 180
    while not len(store.steps(run)):
        if time.monotonic() > end:
            raise RuntimeError("the run did not begin within 180 s")
        time.sleep(0.2)


def _speed(run: Run, seconds: float) -> float:
    """Steps a second by the run's own table, over so many seconds from now on."""

    def steps() -> int:
        last = store.steps(run).iloc[-1]
        per_epoch = store.read(run.folder).steps_per_epoch
        return int((last.epoch - 1) * per_epoch + last.step)

    begun, before = time.perf_counter(), steps()
    time.sleep(seconds)
    return (steps() - before) / (time.perf_counter() - begun)


def main() -> int:
    """Measures, prints and keeps one row; 1 if a client met an error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clients", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--data", type=Path, default=places.data_folder())
    options = parser.parse_args()
    row = measure(options.clients, options.seconds, options.data, options.workers)
    for name, value in row.items():
        print(f"{name:16} {value}")
    results.append("clients", [row])
    return int(row["errors"] > 0)


if __name__ == "__main__":
    sys.exit(main())
