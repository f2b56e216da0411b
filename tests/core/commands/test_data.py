"""The commands data and summary."""

import pytest

from core.dataset import sources
from tests.core.commands.calls import check_failure, command, last_line


def test_data(call, call_json, digits):
    assert call_json("data", "--data", digits.folder) == {
        "source": "folder",
        "fingerprint": digits.fingerprint,
        "classes": 4,
        "train": 48,
        "test": 24,
    }
    status, out, _ = call("data", "--data", digits.folder)
    assert status == 0
    assert out.startswith(digits.description)
    assert "48 training and 24 test images" in out


def test_data_prepares_a_copy(call_json, digits, tmp_path):
    found = call_json("data", "--data", tmp_path / "copy", "--source", digits.folder)
    assert (found["source"], found["fingerprint"]) == ("folder", digits.fingerprint)
    assert (tmp_path / "copy" / "train.csv").is_file()


@pytest.mark.parametrize(("preset", "convolutions"), [("densenet39", 38), ("densenet52", 52), ("resnext32", 31)])
def test_summary_of_the_lab_sheets_networks(call, call_json, preset, convolutions):
    summary = call_json("summary", preset)
    assert summary.keys() == {"convolutions", "fully_connected", "parameters", "multiply_adds", "layers"}
    assert (summary["convolutions"], summary["fully_connected"]) == (convolutions, 1)
    assert sum(layer["multiply_adds"] for layer in summary["layers"]) == summary["multiply_adds"]
    status, out, _ = call("summary", preset)
    assert status == 0
    assert f"{convolutions} convolutions + 1 fully connected" in out
    assert f"{summary['parameters']:,} parameters" in out


def test_summary_follows_the_settings(call_json):
    small, large = (call_json("summary", "facenet", "--set", f"embedding_size={size}") for size in (8, 16))
    assert large["parameters"] > small["parameters"]


def test_data_without_network(call, call_json, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "DOWNLOAD", "print('no network'); exit(1)")
    outcome = call("data", "--data", tmp_path / "a", "--source", "mnist")
    check_failure(outcome, 1, "MNIST could not be downloaded (no network)")
    status, out, err = call("data", "--data", tmp_path / "b", "--source", "auto", "--json")
    assert (status, last_line(out)["source"]) == (0, "digits")
    assert "Taking the handwritten digits inside scikit-learn instead." in err


def test_lab_data(lab_data):
    """The lab's own images where they are; otherwise the digits of scikit-learn."""
    done = command("data", "--data", lab_data, "--json")
    found = last_line(done.stdout)
    assert done.returncode == 0
    assert found["classes"] == 10
    assert found["train"] >= 1160
