"""The server is told to end while it trains: within seconds the run is saved, and goes on after a restart.

Ctrl-C is in test_plug.
"""

import signal
import time

import pytest

from core.runs import store, writing
from tests.app.browser import free_port
from tests.processes import Child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_run_is_saved_when_the_server_ends(lab, tiny, digits, number):
    for _ in range(2):
        writing.create(tiny.changed(epochs=1000, triplets=4000), digits, lab).close()
    server = Child("app", "--no-browser", "--resume", "--port", free_port(), together=True)
    try:
        end = time.monotonic() + 120
        while not (steps := [run for run in store.list_runs(lab) if len(store.steps(run)) > 20]):
            assert time.monotonic() < end, server.said()
            time.sleep(0.02)
        begun = time.monotonic()
        server.send_signal(number)
        said, _ = server.communicate(timeout=60)
        took = time.monotonic() - begun
    finally:
        server.kill()
    assert "Traceback" not in said
    assert took < 30  # a second or two where nothing else computes
    assert [run.status for run in store.list_runs(lab)] == ["interrupted"] * 2
    (run,) = steps
    assert (run.folder / "between.pt").exists()
    checkpoint, _ = store.newest_checkpoint(store.read(run.folder))
    assert checkpoint["training"]["step"] >= store.steps(run).step.iloc[-1]
