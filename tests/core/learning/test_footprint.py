"""What does not fit into memory is refused before it is allocated; the presets never are on a small laptop."""

import subprocess
import sys

import pytest
import torch

from core.learning import footprint
from core.learning.machine import Machine
from core.networks import build
from core.settings.presets import PRESETS, from_preset
from core.settings.setting import ConfigError

GB = 10**9
CPU = Machine("cpu", "float32", 1)


@pytest.mark.parametrize(
    ("preset", "changes", "parameters"),
    [
        ("facenet", dict(width=128, blocks=(64,) * 6), "25,676,729,600"),
        ("resnext32", dict(cardinality=64, bottleneck_width=64, blocks=(64,) * 6), "6,091,725,586,762"),
    ],
)
def test_networks_that_killed_the_process_are_refused(monkeypatch, preset, changes, parameters):
    monkeypatch.setattr(footprint, "free", lambda device: 64 * GB)
    with pytest.raises(ConfigError, match=parameters) as caught:
        footprint.check(from_preset(preset, **changes), 10, CPU)
    assert caught.value.setting == "blocks"
    assert "64.0 GB are free" in str(caught.value)


def test_batches_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr(footprint, "free", lambda device: 8 * GB)
    with pytest.raises(ConfigError, match=r"batches of 3,072 images .* lower “Blocks in each stage”, “Width” or"):
        footprint.check(from_preset("facenet", width=128, batch_size=1024), 10, CPU)


def test_the_estimate_is_that_of_the_measured_peaks():
    """Peak minus the process before the network, one step in float32: quick 0.205 GB, FaceNet 0.548, DenseNet 0.398."""
    for preset, measured in (("quick", 0.205), ("facenet", 0.548), ("densenet52", 0.398)):
        parameters, wanted = footprint.needed(from_preset(preset), 10, "float32", 64 * GB)
        assert parameters == build.summarise(from_preset(preset)).parameters
        assert measured / 1.5 < wanted / GB < measured * 1.5


def test_no_preset_is_refused_on_a_small_laptop(monkeypatch):
    monkeypatch.setattr(footprint, "free", lambda device: int(2.5 * GB))
    for preset in PRESETS:
        footprint.check(from_preset(preset), 10, CPU)


def test_free_memory_is_a_number():
    assert 0 < footprint.free("cpu") < 2**50


def test_a_small_network_is_let_through_without_torch():
    code = """import sys
from core.learning import footprint
from core.settings.presets import from_preset
footprint.free = lambda device: 8 * 10**9
footprint.check(from_preset("quick"), 10)
assert "torch" not in sys.modules"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_what_allocators_say_is_told_from_other_errors():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**46)
    assert footprint.lacks_memory(caught.value)
    assert footprint.lacks_memory(MemoryError())
    assert footprint.lacks_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert footprint.lacks_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to"))
    assert not footprint.lacks_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not footprint.lacks_memory(ValueError("out of memory"))


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_run_that_the_system_gives_no_more_memory_says_what_to_lower(tmp_path, digits):
    code = f"""import resource
from core import experiment
from core.dataset import loader
from core.learning import footprint
from core.runs import store, writing
from core.settings.presets import from_preset
import torch
torch.nn.Conv2d(1, 1, 3)(torch.zeros(1, 1, 8, 8)).sum().backward()  # what the first step imports is there
footprint.free = lambda device: 64 * 10**9  # others have taken it since
images = loader.load({str(digits.folder)!r})
config = from_preset("facenet", width=64, batch_size=8, neighbours=3, threads=1, triplets=24, precision="float32")
runs = __import__("pathlib").Path({str(tmp_path)!r})
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 3 * 10**7,) * 2)
try:
    with writing.create(config, images, runs) as writer:
        list(experiment.run(writer, images))
except footprint.OutOfMemory as error:
    print(error)
print(store.list_runs(runs)[0].error)"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    said = "out of memory: close other programs and resume the run, or begin anew with a lower “Blocks in each stage”, "
    assert ended.stdout.splitlines() == [f"{said}“Width” or “Batch size”"] * 2, ended.stderr
