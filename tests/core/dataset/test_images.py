"""Pixels read in this process and on all cores: the same, and the same reason for what cannot be read."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.dataset import images, loader
from tests.core.folders import RNG, error_of, write_png


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Nine images of different pixels."""
    found = [tmp_path / f"{number} ä.png" for number in range(9)]
    for file in found:
        write_png(file, RNG.integers(0, 256, (6, 5), np.uint8))
    return found


@pytest.fixture(params=[1, 4], ids=["one process", "four more"])
def cores(request, monkeypatch) -> int:
    """As if there were many files and so many cores."""
    monkeypatch.setattr(images, "MANY", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: request.param)
    return request.param


def test_pixels_and_progress(files, cores):
    calls = []
    read = images.read_all(files, lambda done, total: calls.append((done, total)))
    np.testing.assert_array_equal(read, np.stack([np.asarray(Image.open(file)) for file in files]))
    assert calls == sorted(calls)
    assert calls[-1] == (9, 9)


def test_the_processes_decode_and_not_this_one(files, cores, monkeypatch):
    """Or a failure of all of them would only cost time, unseen."""
    here, read = [], images.read
    monkeypatch.setattr(images, "read", lambda file: here.append(file) or read(file))
    images.read_all(files)
    assert here == [files[0]] + files * (cores == 1)  # the first one says how large they are


def test_few_images_start_no_process(files, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    assert len(images.read_all(files)) == 9


def test_relative_names(files, cores, monkeypatch):
    monkeypatch.chdir(files[0].parent)
    assert images.read_all([Path(file.name) for file in files]).shape == (9, 6, 5)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.write_text("hello"), "not an image"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: write_png(path, np.zeros((5, 6), np.uint8)), "6x5 pixels, but"),
    ],
)
def test_the_first_bad_file_is_named(files, cores, damage, expected):
    for number in (3, 4, 8):
        damage(files[number])
    message = error_of(images.read_all, files)
    assert message.startswith(str(files[3]))
    assert expected in message


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false", "/bin/true"])
def test_processes_that_fail_are_done_without(files, cores, monkeypatch, program):
    monkeypatch.setattr("sys.executable", program)
    expected = np.stack([np.asarray(Image.open(file)) for file in files])
    np.testing.assert_array_equal(images.read_all(files), expected)


def test_a_stop_from_the_caller_ends_the_processes(files, cores, monkeypatch):
    started = []
    begin = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(begin(*a, **k)) or started[-1])

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        images.read_all(files, stop)
    assert len(started) == (0 if cores == 1 else cores)
    assert all(process.returncode is not None for process in started)


def test_a_set_on_all_cores(files, tmp_path, cores):
    for split in loader.SPLITS:
        for number, file in enumerate(files):
            write_png(tmp_path / "set" / split / f"{number % 3}" / file.name, np.full((3, 3), number, np.uint8))
    loaded = loader.read(tmp_path / "set")
    assert loaded.train.images[:, 0, 0].tolist() == loaded.test.images[:, 0, 0].tolist() == [0, 3, 6, 1, 4, 7, 2, 5, 8]


# Formats

INK = np.array([[0, 255, 0, 255], [0, 255, 128, 0], [0, 0, 255, 0]], np.uint8)  # how opaque the ink is


def transparent(mode: str, ink: int) -> Image.Image:
    """INK in one brightness on transparent paper of the same brightness."""
    colour = np.full_like(INK, ink)
    if mode == "P":
        image = Image.fromarray((INK > 100).astype(np.uint8), "P")
        image.putpalette([ink] * 6)
        image.info["transparency"] = bytes((0, 255))
        return image
    return Image.fromarray(np.dstack([colour] * (3 if mode == "RGBA" else 1) + [INK]), mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (150, 255), (192, 255), (193, 0), (255, 0)])
def test_ink_on_transparent_paper_stays_visible(tmp_path, mode, ink, paper):
    transparent(mode, ink).save(tmp_path / "x.png")
    read = images.read(tmp_path / "x.png")
    assert (read[INK == 0] == paper).all()
    assert (read[INK == 255] == ink).all()


def test_half_transparent_ink_is_mixed_with_the_paper(tmp_path):
    transparent("LA", 0).save(tmp_path / "x.png")
    np.testing.assert_array_equal(images.read(tmp_path / "x.png"), 255 - INK)


@pytest.mark.parametrize("form", ["RGBA", "L"])
def test_all_transparent_or_a_transparent_grey(tmp_path, form):
    if form == "RGBA":
        Image.new("RGBA", (4, 3)).save(tmp_path / "x.png")
        assert (images.read(tmp_path / "x.png") == 255).all()
    else:
        Image.fromarray(np.minimum(INK, 100)).save(tmp_path / "x.png", transparency=0)
        assert images.read(tmp_path / "x.png").tolist() == np.where(INK, 100, 255).tolist()


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("JPEG", {"quality": 100}), ("TIFF", {}), ("WEBP", {})])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path, form, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.arange(0, 256, 8, dtype=np.uint8).reshape(4, 8)).convert("RGB")
    stored.save(tmp_path / "x.png", format=form, exif=exif, **options)
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Image.Transpose by the tag's value
    upright = stored.transpose(turn[orientation]) if orientation > 1 else stored
    read = images.read(tmp_path / "x.png")
    assert read.shape == upright.size[::-1]
    assert abs(read.astype(int) - np.asarray(upright.convert("L"))).max() < 12


@pytest.mark.parametrize("form", images.FORMATS)
@pytest.mark.parametrize("suffix", [".png", ".JPG"])
def test_formats_are_known_by_their_content(tmp_path, form, suffix):
    pixels = np.repeat(np.repeat(np.array([[0, 90], [180, 255]], np.uint8), 8, 0), 8, 1)
    Image.fromarray(pixels).save(tmp_path / f"x{suffix}", format=form)
    assert abs(images.read(tmp_path / f"x{suffix}").astype(int) - pixels).max() < 8


@pytest.mark.parametrize("mode", images.PRINT_MODES)
def test_colours_for_print(tmp_path, mode):
    Image.new("RGB", (4, 3), (200, 200, 200)).convert(mode).save(tmp_path / "x.jpg", quality=100)
    assert abs(images.read(tmp_path / "x.jpg").astype(int) - 200).max() < 3


def test_the_first_frame_of_a_gif(tmp_path):
    frames = [Image.fromarray(np.full((3, 4), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert (images.read(tmp_path / "x.gif") == 10).all()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_scale(tmp_path, form):
    write_png(tmp_path / "x.png", np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16), format=form)
    assert images.read(tmp_path / "x.png").tolist() == [[0, 0, 1, 1, 128, 255]]


def test_a_cut_or_a_changed_byte_never_gives_other_pixels(tmp_path):
    file, pixels = tmp_path / "x.png", RNG.integers(0, 256, (6, 5), np.uint8)
    write_png(file, pixels)
    good = file.read_bytes()
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 0x55
        file.write_bytes(changed)
        assert error_of(images.read, file).startswith(f"{file}: not an image that can be read")
        file.write_bytes(good[:place])
        if place < len(good) - 12:  # behind it only the mark of the end is left
            error_of(images.read, file)
    file.write_bytes(good + bytes(50))
    np.testing.assert_array_equal(images.read(file), pixels)


def test_a_wrong_checksum_is_named(tmp_path):
    write_png(tmp_path / "x.png", INK)
    content = bytearray((tmp_path / "x.png").read_bytes())
    content[-13] ^= 1  # the last byte in front of the end
    (tmp_path / "x.png").write_bytes(content)
    assert "(wrong checksum of its part 'IDAT'); replace it" in error_of(images.read, tmp_path / "x.png")


def test_a_huge_file_is_refused(tmp_path, monkeypatch):
    write_png(tmp_path / "x.png", INK)
    monkeypatch.setattr(images, "LARGEST_FILE", 60)
    assert "save the image as a PNG" in error_of(images.read, tmp_path / "x.png")


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "x.png").symlink_to(tmp_path / "nowhere.png")
    assert "a link to a file that is not there; remove the link" in error_of(images.read, tmp_path / "x.png")
