"""A lesson: students with names of their own begin small runs in a shared lab, again and again, and look at them.

    python -m benchmarks.lesson [--students 30] [--seconds 300] [--workers N] [--data DIR]

Each student is a websocket with the cookies of a browser. It presses Start on Train whenever nothing of its own waits
or is trained, and asks for the page from time to time. One call appends one row to results/lesson.csv. A
turn is unfair if somebody waited while another one had two.
"""

import argparse
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from benchmarks import results
from benchmarks.browser import serve
from core import places
from core.classroom import codes
from core.classroom.codes import NAME_COOKIE, ROLE_COOKIE
from core.classroom.roles import Role
from core.runs import store

PATIENCE = 120.0  # seconds for one answer
FORM = "preset=quick&epochs=1&triplets=64"
_BUTTON = re.compile(r"\$\$ID-[\w-]+-start\b")


class Watch(threading.Thread):
    """Looks at the runs and at the lab's memory from outside, until `ended` is set."""

    def __init__(self, runs: Path, ended: threading.Event):
        super().__init__(daemon=True)
        self.runs, self.ended = runs, ended
        self.begun: dict[str, tuple[str, float]] = {}  # by run: its owner, and when it was seen first
        self.trained: dict[str, float] = {}  # by run: when it was first seen in training, or later
        self.busy: set[str] = set()  # whose runs wait or are trained
        self.failed: set[str] = set()
        self.megabytes = 0.0

    def run(self) -> None:
        """Called in its thread."""
        me = psutil.Process()
        while not self.ended.wait(0.2):
            now, busy = time.monotonic(), set()
            for run in store.list_runs(self.runs):
                self.begun.setdefault(run.id, (run.owner, now))
                if run.status != "queued":
                    self.trained.setdefault(run.id, now)
                if run.status in ("failed", "interrupted", "damaged"):
                    self.failed.add(run.id)
                if run.active:
                    busy.add(run.owner)
            self.busy = busy
            self.megabytes = max(self.megabytes, sum(map(_memory, me.children(recursive=True))) / 1e6)

    def unfair(self) -> int:
        """How many runs waited while another student had two turns."""
        return unfair(self.begun, self.trained, time.monotonic())


def _memory(process: psutil.Process) -> int:
    """Bytes; none of a process that has just ended."""
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def unfair(begun: dict[str, tuple[str, float]], trained: dict[str, float], end: float) -> int:
    """How many runs waited while another student's were taken up twice; runs by id, moments in seconds."""
    found = 0
    for run, (owner, since) in begun.items():
        until = trained.get(run, end)
        turns = [begun[other][0] for other, at in trained.items() if since < at < until]
        found += any(turns.count(each) > 1 for each in set(turns) - {owner})
    return found


class Student(threading.Thread):
    """One browser; `error` says why it gave up."""

    def __init__(self, url: str, name: str, cookies: dict[str, str], watch: Watch, ended: threading.Event):
        super().__init__(daemon=True)
        self.url, self.called, self.watch, self.ended = url, name, watch, ended
        self.cookie = "; ".join(f"{key}={value}" for key, value in cookies.items())
        self.answers: list[float] = []  # seconds of each
        self.error = ""

    def run(self) -> None:
        """Called in its thread."""
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        headers = {"Cookie": self.cookie}
        try:
            with connect(
                address, origin=self.url, subprotocols=["streamlit"], max_size=None, additional_headers=headers
            ) as socket:
                start = self._ask(socket)
                while not self.ended.wait(2.0):
                    idle = self.called not in self.watch.busy
                    start = self._ask(socket, start if idle else "") or start
                    if idle:
                        self.ended.wait(2.0)  # until the watch has seen it
        except Exception as error:
            self.error = f"{self.called}: {type(error).__name__}: {error}"

    def _ask(self, socket, pressed: str = "") -> str:
        """Asks for the page, a button pressed or not; returns the id of its button Start."""
        message = BackMsg()
        message.rerun_script.query_string = FORM
        message.rerun_script.page_name = "train"
        if pressed:
            message.rerun_script.widget_states.widgets.add(id=pressed, trigger_value=True)
        begun, found = time.perf_counter(), ""
        socket.send(message.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(socket.recv(timeout=PATIENCE))
            kind = answer.WhichOneof("type")
            if kind == "delta" and (button := _BUTTON.search(str(answer))):
                found = button[0]
            elif kind == "delta" and answer.delta.new_element.WhichOneof("type") == "exception":
                raise RuntimeError(answer.delta.new_element.exception.message)
            elif kind == "script_finished":
                self.answers.append(time.perf_counter() - begun)
                return found


def measure(students: int, seconds: float, workers: int, data: Path) -> tuple[dict, list[str]]:
    """A row of the table, and what went wrong."""
    with tempfile.TemporaryDirectory(prefix="tripletlab-lesson-") as name:
        runs = Path(name) / "runs"
        names = [f"student {number + 1}" for number in range(students)]
        codes.read(runs)
        for each in names:
            codes.take_name(runs, each)
        group, ended = codes.read(runs), threading.Event()
        role = {ROLE_COOKIE: group.role_ticket(Role.STUDENT)}
        with serve(data, runs, "--share", "--workers", str(workers)) as url:
            watch = Watch(runs, ended)
            browsers = [
                Student(url, each, role | {NAME_COOKIE: group.name_ticket(each)}, watch, ended) for each in names
            ]
            for thread in (watch, *browsers):
                thread.start()
            time.sleep(seconds)
            unfair = watch.unfair()
            ended.set()
            for browser in browsers:
                browser.join(PATIENCE)
            done = [run.owner for run in store.list_runs(runs) if run.status == "done"]
    answers = [taken for browser in browsers for taken in browser.answers]
    counts = [done.count(each) for each in names]
    wrong = [browser.error for browser in browsers if browser.error] + [f"{run} failed" for run in sorted(watch.failed)]
    row = {
        "students": students,
        "seconds": seconds,
        "workers": workers,
        "errors": len(wrong),
        "runs done": len(done),
        "fewest and most of a student": f"{min(counts)} and {max(counts)}",
        "unfair turns": unfair,
        "page median ms": round(1000 * np.median(answers)) if answers else "",
        "page p95 ms": round(1000 * np.quantile(answers, 0.95)) if answers else "",
        "most memory MB": round(watch.megabytes),
        **results.circumstances(),
    }
    return row, wrong


def main() -> int:
    """Measures, prints and keeps one row; 1 if something went wrong or a turn was unfair."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lesson", description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--workers", type=int, default=1, help="as of a shared lab")
    parser.add_argument("--data", type=Path, default=places.data_folder())
    parser.add_argument("--dry", action="store_true", help="keep no row")
    options = parser.parse_args()
    row, wrong = measure(options.students, options.seconds, options.workers, options.data)
    for name, value in row.items():
        print(f"{name:30} {value}")
    for each in wrong:
        print(each)
    if not options.dry:
        results.append("lesson", [row])
    return int(bool(wrong) or row["unfair turns"] > 0)


if __name__ == "__main__":
    sys.exit(main())
