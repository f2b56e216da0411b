"""Decoded data sets on disk, so that tens of thousands of PNGs are decoded once and not at every start.

A file for each set, in a folder of the lab's own. It is a convenience and never an authority: what cannot be read,
or belongs to other files than those of now, counts as not there, and what cannot be written is left out.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from core import places

FORMAT = 3  # raise it if the same files would be read differently
KEPT_SETS = 8
KEPT_BYTES = 1 << 30  # together


def find(folder: Path, signature: tuple) -> tuple[dict, dict[str, np.ndarray]] | None:
    """Facts and arrays as they were kept for this folder with this signature; None if they are not there.

    Damage shows in the check sums of the zip file; whoever asks compares the fingerprint as well.
    """
    path = _path(folder)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if kept["made_from"].item() != _made_from(folder, signature):
                return None
            arrays = {name: kept[name] for name in kept.files}
        with contextlib.suppress(OSError):
            os.utime(path)  # used lately, so kept
        return json.loads(arrays["facts"].tobytes()), arrays
    except Exception:  # not there, or damaged: as a zip file, an array, JSON, in its sizes (MemoryError), …
        return None


def keep(folder: Path, signature: tuple, facts: dict, arrays: dict[str, np.ndarray]) -> None:
    """Keeps JSON-ready facts and named arrays, where there is room for them."""
    place = places.cache_folder()
    made_from, encoded = np.array(_made_from(folder, signature)), np.frombuffer(json.dumps(facts).encode(), np.uint8)
    if sum(array.nbytes for array in arrays.values()) > KEPT_BYTES:
        return
    temporary = None
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, suffix=".npz", prefix="new-", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, made_from=made_from, facts=encoded, **arrays)
        os.replace(temporary, _path(folder))
        _remove_old(place)
    except OSError:  # a full or read-only disk; the next start decodes again
        return
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _remove_old(place: Path) -> None:
    """Removes the sets that were not used for longest, and what a killed process left of one."""
    found = sorted(((path.stat().st_mtime_ns, path) for path in place.glob("*.npz")), reverse=True)
    total = 0
    for position, (_, path) in enumerate(found):
        total += path.stat().st_size
        if position >= KEPT_SETS or total > KEPT_BYTES:
            path.unlink(missing_ok=True)


def _path(folder: Path) -> Path:
    return places.cache_folder() / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.npz"


def _made_from(folder: Path, signature: tuple) -> str:
    """SHA-256 of all that the decoded set depends on."""
    return hashlib.sha256(json.dumps([FORMAT, str(folder), signature]).encode()).hexdigest()
