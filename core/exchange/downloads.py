"""What can be taken of a run as a file: the whole run, its curves, settings and weights, its network as ONNX."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass

from core.exchange import packed_runs, tensorboard
from core.runs import store
from core.runs.files import StoreError
from core.runs.store import Run


@dataclass(frozen=True)
class Download:
    """A kind of file."""

    title: str
    ending: str  # of its name, after the run's id
    content: Callable[[Run], bytes]  # raises UploadError or StoreError
    weights: bool = False  # whether what was learnt is in it


def _whole(run: Run) -> bytes:
    stream = io.BytesIO()
    packed_runs.export_run(run, stream)
    return stream.getvalue()


def _history(run: Run) -> bytes:
    return store.history(run).to_csv(index=False).encode()


def _settings(run: Run) -> bytes:
    return json.dumps(run.config.plain(), indent=1).encode()


def _checkpoint(run: Run) -> bytes:
    file = run.folder / "last.pt"
    try:
        return file.read_bytes()
    except OSError as error:
        raise StoreError(f"{file} cannot be read ({error.strerror}); was an epoch of the run finished?") from error


def _network(run: Run) -> bytes:
    from core.exchange import onnx  # it loads torch

    return onnx.exported(run)


DOWNLOADS = {
    "run": Download("Run, for another lab", ".zip", _whole, weights=True),
    "history": Download("History, a row an epoch", "-history.csv", _history),
    "settings": Download("Settings", "-settings.json", _settings),
    "checkpoint": Download("Checkpoint of the last epoch", "-last.pt", _checkpoint, weights=True),
    "tensorboard": Download("Event files for TensorBoard", "-tensorboard.zip", tensorboard.packed),
    "onnx": Download("Network as ONNX", ".onnx", _network, weights=True),
}


def file_name(run: Run, kind: str) -> str:
    """What to call the file."""
    return run.id + DOWNLOADS[kind].ending


def content(run: Run, kind: str) -> bytes:
    """The file of this kind, one of DOWNLOADS. Raises UploadError or StoreError with the reason why there is none."""
    return DOWNLOADS[kind].content(run)
