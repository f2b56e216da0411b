"""The server is told to end while it trains: within seconds the run is saved, and goes on after a restart."""

import os
import signal
import subprocess
import sys
import time

import pytest

from core.runs import store
from tests.app.browser import free_port
from tests.app.conftest import ROOT

SERVER = """
import sys
from pathlib import Path
from app import __main__ as app
from core import control, places
from core.dataset import loader
from core.settings.config import RunConfig

config = RunConfig({settings})
for _ in range(2):
    control.begin(config, loader.load(places.data_folder()), places.runs_folder())
sys.argv = ["app", "--no-browser", "--port", "{port}"]
sys.exit(app.main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_run_is_saved_when_the_server_ends(lab, tiny, number):
    long = {**dict(tiny), "epochs": 1000, "triplets": 4000}
    code = SERVER.format(settings=", ".join(f"{name}={value!r}" for name, value in long.items()), port=free_port())
    server = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 120
        while not (steps := [run for run in store.list_runs(lab) if len(store.steps(run)) > 20]):
            assert time.monotonic() < end, server.communicate(timeout=10)
            time.sleep(0.1)
        begun = time.monotonic()
        os.kill(server.pid, number)
        said = server.communicate(timeout=60)[0].decode()
        took = time.monotonic() - begun
    finally:
        server.kill()
        server.communicate()
    assert "Traceback" not in said
    assert took < 30  # a second or two where nothing else computes
    assert [run.status for run in store.list_runs(lab)] == ["interrupted"] * 2
    (run,) = steps
    assert (run.folder / "between.pt").exists()
    checkpoint, _ = store.newest_checkpoint(store.read(run.folder))
    assert checkpoint["training"]["step"] >= store.steps(run).step.iloc[-1]
