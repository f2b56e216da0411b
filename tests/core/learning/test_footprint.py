"""What does not fit into memory is refused before it is allocated; the presets never are on a small laptop."""

import pytest

from core.learning import footprint
from core.learning.machine import Machine
from core.networks import build
from core.settings.config import ConfigError
from core.settings.presets import PRESETS, from_preset

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
    with pytest.raises(ConfigError, match=r"batches of 3,072 images .* or batch_size"):
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
