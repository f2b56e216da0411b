"""The pixels of image files, in grey: one after the other, and on all cores where there are many.

Pillow holds Python's lock for most of the time that a small image takes, so that threads are no faster than a loop.
The work is therefore shared out to processes of this module (`python -m core.dataset.images`), which get names of
files and answer with pixels. They are no children of `multiprocessing`: its way to start them runs the main script
again, which in Streamlit is a page.
"""

import io
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from core import places

LARGEST_SIDE = 512  # pixels
LARGEST_PHOTOGRAPH = 25_000_000  # pixels of a picture that is made smaller
LARGEST_FILE = 1 << 26  # bytes; twenty times what an image of that size takes
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")  # Pillow's names, found by content whatever the ending
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")  # in any case
MODES = ("1", "L", "P", "LA", "RGB", "RGBA")  # Pillow's names; 32-bit and float images would lose their scale in "L"
PRINT_MODES = ("CMYK", "YCbCr")  # of JPEG and TIFF files
GREY_16 = ("I;16", "I;16L", "I;16B")
MANY = 5000  # files for which the processes, ready after 0.2 s, are worth their start: a loop takes 0.5 s
_BYTES_AT_ONCE = 1 << 18
_LIGHT = 192  # mean brightness of ink above which the paper behind it is black
_MOST_INFLATED = 1 << 23  # bytes; 512x512 pixels of 64 bits take 2 MB
_PLAIN_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))  # none of them says how the image is turned

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
    """One image in grey, upright, on paper: (H, W) uint8; of several frames the first. Raises DataError."""
    return decoded(content(file), file)


def content(file: Path) -> bytes:
    """The bytes of a file of an image. Raises DataError."""
    try:
        with open(file, "rb", buffering=0) as opened:
            if os.fstat(opened.fileno()).st_size > LARGEST_FILE:  # read(LARGEST_FILE) would make room for so many bytes
                raise DataError(f"{file}: above {LARGEST_FILE >> 20} MB; save the image as a PNG")
            return opened.readall()
    except (FileNotFoundError, NotADirectoryError) as error:
        if file.is_symlink():
            raise DataError(f"{file}: a link to a file that is not there; remove the link or mend it") from error
        raise DataError(f"{file}: no such file; add the image or remove its row from the CSV") from error
    except OSError as error:
        raise DataError(f"{file}: not an image that can be read ({error}); replace it or remove it") from error


def decoded(held: bytes, file: Path | str, *, shrink: bool = False) -> np.ndarray:
    """The same from the bytes of a file, which is named in errors; with `shrink` a photograph is made small enough."""
    most = 4 * LARGEST_PHOTOGRAPH if shrink else _MOST_INFLATED
    try:
        with Image.open(io.BytesIO(held), formats=FORMATS) as image:
            if max(image.size) > LARGEST_SIDE and not shrink:
                raise DataError(f"{file}: {image.width}x{image.height} pixels; at most {LARGEST_SIDE} a side are read")
            if image.width * image.height > LARGEST_PHOTOGRAPH:
                raise DataError(f"{file}: {image.width}x{image.height} pixels; make the picture smaller")
            if image.mode not in (*MODES, *PRINT_MODES, *GREY_16):
                raise DataError(f"{file}: Pillow's mode {image.mode} is not supported; save it with 8 bits a channel")
            plain = image.format == "PNG" and _PLAIN_CHUNKS.issuperset(_checked_chunks(held, most))
            if shrink:
                image.draft(None, (LARGEST_SIDE, LARGEST_SIDE))  # a JPEG is read in a smaller size at once
            image.load()
            upright = image if plain else ImageOps.exif_transpose(image)
            if max(upright.size) > LARGEST_SIDE:
                upright.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
            return _grey(upright)
    except DataError:
        raise
    except Exception as error:  # damaged files raise OSError, SyntaxError, ValueError, struct.error, zlib.error, …
        reason = "" if isinstance(error, Image.UnidentifiedImageError) else f" ({error})"
        raise DataError(f"{file}: not an image that can be read{reason}; replace it or remove it") from error


def _checked_chunks(content: bytes, most: int) -> set[bytes]:
    """The kinds of chunks in a PNG. Raises ValueError where a checksum is wrong: of a chunk, or of all the pixels.

    Pillow does not ask for every one of them, and would give other pixels for a changed byte.
    """
    kinds, packed = set(), []
    place = 8  # behind the signature
    while place + 12 <= len(content) and b"IEND" not in kinds:
        end = place + 8 + int.from_bytes(content[place : place + 4])
        kind = content[place + 4 : place + 8]
        if zlib.crc32(content[place + 4 : end]) != int.from_bytes(content[end : end + 4]) or end + 4 > len(content):
            raise ValueError(f"wrong checksum of its part {kind.decode('ascii', 'replace')!r}")
        if kind == b"IDAT":
            packed.append(content[place + 8 : end])
        kinds.add(kind)
        place = end + 4
    inflating = zlib.decompressobj()
    inflating.decompress(b"".join(packed), most)
    if not inflating.eof:
        raise ValueError("its pixels are cut off")
    return kinds


def _grey(image: Image.Image) -> np.ndarray:
    """Pixels as (H, W) uint8. Where the image is transparent lies white paper, or black behind light ink."""
    key = image.info.get("transparency")
    if image.mode in GREY_16:
        values = np.asarray(image).astype(np.uint32)
        grey = ((values + 128) // 257).astype(np.uint8)
        return grey if key is None else _on_paper(grey, np.where(values == key, 0, 255))
    if "A" in image.mode or key is not None:
        colour = image.convert("RGBA")
        return _on_paper(np.asarray(colour.convert("L")), np.asarray(colour.getchannel("A")))
    if image.mode in PRINT_MODES:
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def _on_paper(grey: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`grey` on one colour of paper, as far as `alpha` (0 transparent, 255 opaque) lets it through: all are (H, W)."""
    alpha = alpha.astype(np.uint32)
    visible = alpha.sum()
    paper = 0 if visible and (grey * alpha).sum() / visible > _LIGHT else 255
    return ((grey * alpha + paper * (255 - alpha) + 127) // 255).astype(np.uint8)


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
