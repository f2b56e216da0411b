"""Jobs in place of trainings, whose steps a test releases one by one, and waiting without a sleep that counts."""

import threading
import time

SOON = 10  # seconds; a test that waits this long has failed


class FakeRun:
    """A job whose steps the test releases one by one."""

    def __init__(self, steps: int = 3, failing_after: int | None = None, error: BaseException | None = None):
        self.steps, self.failing_after, self.error = steps, failing_after, error
        self.started, self.released = threading.Event(), threading.Semaphore(0)
        self.done: list[int] = []
        self.end = ""
        self.thread: threading.Thread | None = None

    def __call__(self, control):
        self.thread = threading.current_thread()
        self.started.set()
        for step in range(self.steps):
            if step == self.failing_after:
                self.end = "failed"
                raise self.error
            assert self.released.acquire(timeout=SOON)
            if wish := control():
                self.end = wish
                return
            self.done.append(step)
            yield step
        self.end = "done"

    def release(self, steps: int = 100) -> "FakeRun":
        self.released.release(steps)
        return self


def until(condition) -> bool:
    end = time.monotonic() + SOON
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()
