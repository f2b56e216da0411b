"""Where things are kept unless the user names another folder."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def own_data_folder() -> Path:
    """`mnist/` in the project: the only folder in which a data set is prepared without being asked for."""
    return ROOT / "mnist"


def data_folder() -> Path:
    """The data set: TRIPLETLAB_DATA, or `mnist/` in the project."""
    return Path(os.environ.get("TRIPLETLAB_DATA") or own_data_folder())


def runs_folder() -> Path:
    """One folder a run: TRIPLETLAB_RUNS, or `checkpoints/` in the project."""
    return Path(os.environ.get("TRIPLETLAB_RUNS") or ROOT / "checkpoints")


def pictures_folder() -> Path:
    """Exported error images, one folder a run: TRIPLETLAB_PICS, or `pics/errors/` in the project."""
    return Path(os.environ.get("TRIPLETLAB_PICS") or ROOT / "pics" / "errors")


def uploads_folder() -> Path:
    """Data sets brought in through the page, a folder each: TRIPLETLAB_UPLOADS, or `uploads/` in the project."""
    return Path(os.environ.get("TRIPLETLAB_UPLOADS") or ROOT / "uploads")


def cache_folder() -> Path:
    """Decoded data sets, which can be made again at any time: TRIPLETLAB_CACHE, or `.cache/` in the project."""
    return Path(os.environ.get("TRIPLETLAB_CACHE") or ROOT / ".cache")
