"""The queue, with generators of numbers in place of trainings: no torch, and nothing that depends on a sleep."""

import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

from core.runs import queue as module
from core.runs.queue import RunQueue
from tests.core.runs.jobs import SOON, FakeRun, until

ROOT = Path(__file__).parents[3]


def test_the_module_does_not_load_torch():
    code = "import sys, core.runs.queue; print({'torch', 'numpy', 'streamlit', 'core.experiment'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "set()\n"


def test_done(queue):
    job = FakeRun().release()
    queue.submit("a", job)
    assert queue.join(SOON)
    assert (job.done, job.end) == ([0, 1, 2], "done")
    assert (queue.names(), queue.error("a"), queue.position("a")) == ([], None, None)
    assert job.thread is not threading.current_thread()
    assert job.thread.daemon  # a server that is told to end does not wait for it


def test_one_after_the_other_in_the_order_of_submission(queue):
    order, jobs = [], {name: FakeRun() for name in "abc"}

    def start(name):
        def events(control):
            order.append(name)
            return jobs[name](control)

        return events

    for name in jobs:
        queue.submit(name, start(name))
    assert jobs["a"].started.wait(SOON)
    assert queue.names() == ["a", "b", "c"]
    assert [queue.position(name) for name in "abcd"] == [0, 1, 2, None]
    assert not queue.join(0.05)
    assert not jobs["b"].started.is_set()  # while a runs
    jobs["a"].release()
    assert jobs["b"].started.wait(SOON)
    assert queue.names() == ["b", "c"]
    jobs["b"].release()
    jobs["c"].release()
    assert queue.join(SOON)
    assert order == ["a", "b", "c"]
    assert len({job.thread for job in jobs.values()}) == 1


@pytest.mark.parametrize("wish", ["stop", "pause"])
def test_asked_while_running(queue, wish):
    job, other, told = FakeRun(), FakeRun().release(), []
    queue.submit("a", job, told=told.append)
    queue.submit("b", other)
    job.release(2)
    assert until(lambda: len(job.done) == 2)
    assert getattr(queue, wish)("a")
    assert told == [wish]  # at once: a page shows it before the step has ended
    job.release()
    assert queue.join(SOON)
    assert (job.done, job.end) == ([0, 1], wish)
    assert other.end == "done"


@pytest.mark.parametrize("wish", ["stop", "pause"])
def test_asked_while_waiting(queue, wish):
    """It leaves the queue at once, however long the job before it takes, and whoever submitted it is told."""
    job, other, dropped = FakeRun(), FakeRun(), []
    queue.submit("a", job, dropped=lambda wish: dropped.append(("a", wish)))
    queue.submit("b", other, dropped=lambda wish: dropped.append(("b", wish)))
    assert job.started.wait(SOON)
    assert getattr(queue, wish)("b")
    assert (queue.names(), dropped) == (["a"], [("b", wish)])
    job.release()
    other.release()
    assert queue.join(SOON)
    assert job.end == "done"
    assert not other.started.is_set()
    assert dropped == [("b", wish)]


def test_asked_by_others_while_waiting(queue):
    """Another process can say that a waiting job shall not begin; the queue looks after each event of a running one."""
    job, other, wishes, dropped = FakeRun(), FakeRun(), [], []
    queue.submit("a", job)
    queue.submit("b", other, dropped=dropped.append, asked=lambda: wishes[0] if wishes else None)
    job.release(1)
    assert until(lambda: job.done == [0])
    assert queue.names() == ["a", "b"]
    wishes.append("pause")
    job.release(1)
    assert until(lambda: dropped == ["pause"])
    assert queue.names() == ["a"]
    job.release()
    assert queue.join(SOON)
    assert not other.started.is_set()


def test_an_unknown_or_finished_job_is_not_here(queue):
    job = FakeRun().release()
    queue.submit("a", job)
    assert queue.join(SOON)
    assert not queue.stop("a")
    assert not queue.pause("nobody")


def test_the_wish_of_an_earlier_turn_is_forgotten(queue):
    """A paused job that is put back runs on."""
    for _ in range(2):
        job = FakeRun()
        queue.submit("a", job)
        assert job.started.wait(SOON)
        queue.pause("a")
        job.release()
        assert queue.join(SOON)
        assert job.end == "pause"
    job = FakeRun().release()
    queue.submit("a", job)
    assert queue.join(SOON)
    assert job.end == "done"


def test_what_the_owner_of_a_job_raises_is_kept(queue):
    def fail(wish):
        raise OSError(f"cannot {wish}")

    job, other = FakeRun(), FakeRun()
    queue.submit("a", job)
    queue.submit("b", other, dropped=fail)
    assert job.started.wait(SOON)
    queue.stop("b")
    assert queue.error("b") == "cannot stop"
    job.release()


def test_errors_are_forgotten_in_time_and_by_another_turn(queue):
    for number in range(module.ERRORS_KEPT + 5):
        queue.submit(str(number), FakeRun(failing_after=0, error=ValueError(f"error {number}")))
    assert queue.join(SOON)
    assert queue.error("4") is None
    assert queue.error("5") == "error 5"
    queue.submit("5", FakeRun().release())
    assert queue.join(SOON)
    assert queue.error("5") is None


def test_nothing_of_a_job_is_kept():
    """Neither when it has ended nor when it failed: its weights would stay in memory."""
    queue, left = RunQueue(), []

    class Weights:
        pass

    def submit(failing: bool):
        weights = Weights()
        left.append(weakref.ref(weights))

        def events(control):
            yield weights
            if failing:
                raise ValueError(f"no more of {weights}")

        queue.submit("a", events, told=lambda wish: weights, dropped=lambda wish: weights)

    for failing in (False, True):
        submit(failing)
        assert queue.join(SOON)
    assert until(lambda: all(ref() is None for ref in left))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("the loss is not finite"), "the loss is not finite"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (SystemExit(1), "1"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_failure_midway_keeps_its_message_and_the_next_job_runs(queue, error, message):
    job, other = FakeRun(failing_after=2, error=error).release(), FakeRun().release()
    queue.submit("a", job)
    queue.submit("b", other)
    assert queue.join(SOON)
    assert job.done == [0, 1]
    assert queue.error("a") == message
    assert (other.end, queue.error("b")) == ("done", None)


def test_failure_before_the_first_event(queue):
    def start(stop):
        raise RuntimeError("cannot begin")

    other = FakeRun().release()
    queue.submit("a", start)
    queue.submit("b", other)
    assert queue.join(SOON)
    assert queue.error("a") == "cannot begin"
    assert other.end == "done"


def test_any_iterator_will_do(queue):
    taken = []
    queue.submit("a", lambda stop: map(taken.append, range(5)))
    assert queue.join(SOON)
    assert taken == [0, 1, 2, 3, 4]


def test_jobs_after_a_pause_run_as_well(queue):
    for name in "ab":
        job = FakeRun().release()
        queue.submit(name, job)
        assert queue.join(SOON)
        assert job.end == "done"


def test_shutdown_stops_the_running_job_and_drops_the_waiting_one():
    queue = RunQueue()
    job, other = FakeRun(), FakeRun()
    dropped = []
    queue.submit("a", job, dropped=lambda wish: dropped.append(("a", wish)))
    queue.submit("b", other, dropped=lambda wish: dropped.append(("b", wish)))
    assert job.started.wait(SOON)
    job.release(1)
    assert until(lambda: job.done == [0])
    assert not queue.shutdown(0.05)  # the job is in a step
    job.release()
    assert queue.shutdown(SOON)
    assert (job.done, job.end) == ([0], "leave")
    assert not other.started.is_set()
    assert (queue.names(), dropped) == ([], [("b", "leave")])
    with pytest.raises(RuntimeError, match="shutting down"):
        queue.submit("c", FakeRun())
    assert queue.names() == []


def test_submitting_from_many_threads(queue):
    """Thirty students press Start at the same moment: every job runs once, never two at a time."""
    running, most, ended, lock = [], [], [], threading.Lock()

    def start(name):
        def events(stop):
            with lock:
                running.append(name)
                most.append(len(running))
            yield 1
            with lock:
                running.remove(name)
                ended.append(name)

        return events

    threads = [threading.Thread(target=queue.submit, args=(str(name), start(name))) for name in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.join(SOON)
    assert sorted(ended) == list(range(30))
    assert max(most) == 1


def test_the_one_queue_of_the_process_survives_a_reload():
    """Streamlit may import a changed module anew while a run is under way."""
    code = """
import importlib
from core.runs import queue as runs
first = runs.queue()
first.submit("a", lambda stop: iter(range(3)))
assert first.join(10)
importlib.reload(runs)
assert runs.queue() is first
import sys; del sys.modules["core.runs.queue"]
anew = importlib.import_module("core.runs.queue")
assert anew is not runs and anew.queue() is first
print("one")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("one\n", "")


def test_process_ends_while_a_job_runs():
    """At the end of the process the running job is asked to leave, so that its weights are kept."""
    code = """
import sys, threading, time
from core.runs.queue import queue
started = threading.Event()
def events(control):
    started.set()
    while not control():
        time.sleep(0.01)
        yield 1
    print(control(), flush=True)
queue().submit("a", events)
started.wait()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "leave\n", "")


def test_the_same_queue_for_every_thread():
    found = []
    threads = [threading.Thread(target=lambda: found.append(module.queue())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
