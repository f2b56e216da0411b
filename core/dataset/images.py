"""The pixels of PNG files, in grey: one after the other, and on all cores where there are many.

Pillow holds Python's lock for most of the time that a small image takes, so that threads are no faster than a loop.
The work is therefore shared out to processes of this module (`python -m core.dataset.images`), which get names of
files and answer with pixels. They are no children of `multiprocessing`: its way to start them runs the main script
again, which in Streamlit is a page.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from core import places

LARGEST_SIDE = 512  # pixels
MODES = ("1", "L", "P", "LA", "RGB", "RGBA")  # Pillow's names; 16-bit and float images would lose their scale in "L"
MANY = 5000  # files for which the processes, ready after 0.2 s, are worth their start: a loop takes 0.5 s
_BYTES_AT_ONCE = 1 << 18

Reading = Callable[[int, int], None]  # (images done, all images), called now and then in the caller's thread


class DataError(ValueError):
    """A data set that cannot be used; the one-line message names the file and says what to do."""


def read_all(files: Sequence[Path], progress: Reading = lambda done, total: None) -> np.ndarray:
    """The grey images of `files`, all of the size of the first: (N, H, W) uint8.

    Raises DataError for the first file, in their order, that is no such image.
    """
    first = read(files[0])
    images = np.empty((len(files), *first.shape), np.uint8)
    shares = (os.cpu_count() or 1) if len(files) >= MANY else 1
    ends = [len(files) * (share + 1) // shares for share in range(shares)]
    starts = [0, *ends[:-1]]
    if shares > 1:
        starts = _share_out(files, images, starts, ends, progress)
    for start, end in zip(starts, ends, strict=True):  # what is left, also where a process broke off: it says why
        for position in range(start, end):
            image = read(files[position])
            if image.shape != first.shape:
                raise DataError(
                    f"{files[position]}: {image.shape[1]}x{image.shape[0]} pixels, but {files[0]} has "
                    f"{first.shape[1]}x{first.shape[0]}; make all images the same size"
                )
            images[position] = image
            if position % 100 == 0:
                progress(position, len(files))
    progress(len(files), len(files))
    return images


def read(file: Path) -> np.ndarray:
    """One image in grey: (H, W) uint8. Raises DataError."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            if max(image.size) > LARGEST_SIDE:
                raise DataError(f"{file}: {image.width}x{image.height} pixels; at most {LARGEST_SIDE} a side are read")
            if image.mode not in MODES:
                raise DataError(f"{file}: Pillow's mode {image.mode} is not supported; save it with 8 bits a channel")
            image.load()
            image.info.pop("transparency", None)  # convert() would warn about some; "L" has no transparency anyway
            return np.asarray(image.convert("L"))
    except DataError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{file}: no such file; add the image or remove its row from the CSV") from error
    except Exception as error:  # damaged files raise OSError, SyntaxError, ValueError, struct.error, zlib.error, …
        reason = "" if isinstance(error, Image.UnidentifiedImageError) else f" ({error})"
        raise DataError(f"{file}: not a PNG image that can be read{reason}; replace it or remove it") from error


def _share_out(
    files: Sequence[Path], images: np.ndarray, starts: list[int], ends: list[int], progress: Reading
) -> list[int]:
    """Fills images[start:end] for each share in a process of its own; returns how far each of them came."""
    size = images[0].nbytes
    pixels = memoryview(images).cast("B")
    reached = list(starts)
    processes = []

    def receive(share: int):
        process, place, end = processes[share], starts[share] * size, ends[share] * size
        names = [os.path.abspath(file) for file in files[starts[share] : ends[share]]]
        try:
            with process.stdin as stream:
                stream.write(json.dumps({"shape": images.shape[1:], "files": names}).encode())
            while place < end and (count := process.stdout.readinto(pixels[place : min(place + _BYTES_AT_ONCE, end)])):
                place += count
                reached[share] = place // size
        except OSError:  # the process ended early, at a file that is no such image or for want of memory
            return

    def end_all():
        for process in processes:
            process.kill()

    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:
        try:
            for _ in starts:
                process = subprocess.Popen([sys.executable, "-m", "core.dataset.images"], cwd=places.ROOT, **pipes)
                processes.append(stack.enter_context(process))
            with ThreadPoolExecutor(len(processes)) as pool:
                waiting = {pool.submit(receive, share) for share in range(len(processes))}
                try:
                    while waiting:
                        _, waiting = wait(waiting, timeout=0.1)
                        progress(sum(reached) - sum(starts), len(files))
                finally:
                    end_all()  # or the threads would wait for them, after Ctrl-C as well
        except OSError:  # no process can be started here, or no further one
            end_all()
    return reached


def _serve() -> None:
    """A share of the work: its JSON from standard input, pixels to standard output until a file is no such image."""
    task = json.load(sys.stdin.buffer)
    for file in task["files"]:
        image = read(Path(file))
        if list(image.shape) != task["shape"]:
            sys.exit(1)
        sys.stdout.buffer.write(image.tobytes())


if __name__ == "__main__":
    _serve()
