"""Checkpoints from strangers: finite tensors and plain values, copied; no code in one is run."""

import math
import pickletools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.exchange.archives import MEGABYTE, UNPACKED_BYTES, UploadError, shown, zip_of
from core.runs.files import StoreError

PICKLE_BYTES = 4 * MEGABYTE  # of the list of tensors in a checkpoint; DenseNet-52 has 0.1
VALUES = 100_000  # in a checkpoint, tensors counted as one
_PICKLED = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {kind}Storage"
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
}


@contextmanager
def named(name: str) -> Iterator[None]:
    """Names the file that is refused in it."""
    try:
        yield
    except StoreError:
        raise
    except UploadError as error:
        raise UploadError(f"{name}: {error}") from error
    except Exception as error:  # torch raises many kinds, some with dangerous advice
        raise UploadError(f"{name}: not one of this lab ({type(error).__name__}); export the run anew") from error


def check_stored(file: Path) -> None:
    """Neither torch.save nor np.savez shrinks anything, so that no such file may hold more than its size."""
    with open(file, "rb") as stream, zip_of(stream) as archive:
        held = sum(math.inf if entry.compress_type else entry.file_size for entry in archive.infolist())
    if held > file.stat().st_size:
        raise UploadError("not packed as the lab packs; export the run anew")


def checkpoint(file: Path, network) -> dict:
    """Finite tensors and plain values of a foreign checkpoint with weights for `network`, copied; no code is run."""
    import torch

    check_stored(file)
    with open(file, "rb") as stream, zip_of(stream) as archive:
        (entry,) = [entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl")]
        if entry.file_size > PICKLE_BYTES:
            raise UploadError(f"a list of more than {PICKLE_BYTES:,} bytes of tensors")
        content = archive.read(entry)
    for opcode, argument, _ in pickletools.genops(content):  # weights_only alone would make a bytearray of any size
        calls = opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4")
        if calls or (opcode.name == "GLOBAL" and argument not in _PICKLED):
            asked = f" ({shown(argument.replace(' ', '.'))})" if type(argument) is str else ""
            raise UploadError(f"holds code{asked}, not only numbers; it was not run")
    # mmap: tensors are views of the file, so that one that claims to be larger than the file cannot be
    state = _copied(torch.load(file, map_location="cpu", weights_only=True, mmap=True), [UNPACKED_BYTES, VALUES])
    weights = state["training"]["network"] if file.name == "last.pt" else state["network"]
    if {name: each.shape for name, each in weights.items()} != {n: w.shape for n, w in network.state_dict().items()}:
        raise UploadError("weights of another network than the settings in run.json describe")
    return state


def _copied(value, left: list[int], depth: int = 0):
    """Plain values and tensors, copied; anything else is refused.

    `left` counts down the bytes and the values that may still come: one list can hold another a million times.
    """
    import torch

    left[1] -= 1
    if left[1] < 0 or depth > 10:
        raise UploadError("too many values, or too deep inside each other")
    if type(value) is torch.Tensor:
        left[0] -= value.numel() * value.element_size()
        if left[0] < 0:
            raise UploadError(f"tensors of more than {UNPACKED_BYTES:,} bytes")
        if value.is_floating_point() and not value.isfinite().all():
            raise UploadError("a weight that is not a finite number")
        return value.detach().clone()
    if isinstance(value, dict) and all(type(key) in (str, int) for key in value):
        return {key: _copied(item, left, depth + 1) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copied(item, left, depth + 1) for item in value)
    if value is None or type(value) in (bool, str) or (type(value) in (int, float) and math.isfinite(value)):
        return value
    raise UploadError("something else than finite numbers, texts and tensors")
