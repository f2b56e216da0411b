"""Decoded sets on disk: used when nothing has changed, seen through when something has, and never needed."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from core import places
from core.dataset import cache, loader
from tests.core.folders import RNG, read_csv, write_csv, write_png, write_set

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("TRIPLETLAB_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def load(folder: Path) -> tuple[loader.DataSet, int]:
    """The set as a new process would load it, and how many images were decoded."""
    loader._cache.clear()
    decoded = [0]
    loaded = loader.load(folder, lambda done, total: decoded.append(done))
    return loaded, decoded[-1]


def assert_same(one: loader.DataSet, other: loader.DataSet):
    for name in ("folder", "classes", "class_numbers", "source", "description", "fingerprint"):
        assert getattr(one, name) == getattr(other, name)
    for split in loader.SPLITS:
        left, right = getattr(one, split), getattr(other, split)
        assert (left.ids, left.files) == (right.ids, right.files)
        for name in ("images", "labels"):
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
            assert getattr(left, name).dtype == getattr(right, name).dtype
            assert not getattr(left, name).flags.writeable


@pytest.mark.parametrize("bare", [False, True], ids=["with CSVs", "without"])
def test_the_second_time_nothing_is_decoded(small, bare):
    for split in loader.SPLITS if bare else ():
        (small / f"{split}.csv").unlink()
    first, decoded = load(small)
    assert decoded == 10
    second, decoded = load(small)
    assert decoded == 0
    assert second is not first
    assert_same(second, first)
    assert_same(second, loader.read(small))
    assert load(small / ".." / "small")[1] == 0


def test_nothing_is_written_into_the_set(small):
    before = sorted((path, path.stat().st_mtime_ns) for path in small.rglob("*"))
    load(small)
    load(small)
    assert sorted((path, path.stat().st_mtime_ns) for path in small.rglob("*")) == before


def same_size(folder: Path):
    path = folder / "train" / "a" / "train_a_0.png"
    size = path.stat().st_size
    for _ in range(1000):
        write_png(path, RNG.integers(0, 256, (6, 5), np.uint8))
        if path.stat().st_size == size:
            return
    raise AssertionError("no image of the same size")


def edited_csv(folder: Path):
    write_csv(folder / "train.csv", read_csv(folder / "train.csv")[::-1])


def added(folder: Path):
    write_png(folder / "train" / "a" / "new.png", np.zeros((6, 5), np.uint8))
    write_csv(folder / "train.csv", [*read_csv(folder / "train.csv"), ("new", "a", 0)])


def removed(folder: Path):
    (folder / "train" / "a" / "train_a_0.png").unlink()
    write_csv(folder / "train.csv", read_csv(folder / "train.csv")[1:])


def swapped(folder: Path):
    one, other = (folder / "train" / "a" / f"train_a_{number}.png" for number in (0, 1))
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)


def renamed(folder: Path):
    (folder / "train" / "a" / "train_a_0.png").rename(folder / "train" / "a" / "other.png")
    text = (folder / "train.csv").read_text()
    (folder / "train.csv").write_text(text.replace("train_a_0", "other"))


def described(folder: Path):
    (folder / "source.json").write_text('{"source": "digits", "description": "others", "fingerprint": "x"}')


CHANGES = [same_size, edited_csv, added, removed, swapped, renamed, described]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(small, change):
    first, _ = load(small)
    for path in small.rglob("*"):
        os.utime(path, (1e9 + hash(path.name) % 1000, 1e9 + hash(path.name) % 1000))  # no two the same by chance
    load(small)
    change(small)
    second, decoded = load(small)
    assert decoded > 0
    assert_same(second, loader.read(small))
    assert (second.fingerprint, second.description) != (first.fingerprint, first.description)
    assert load(small)[1] == 0


def test_a_missing_image_and_an_empty_class_are_errors_although_the_set_is_kept(small):
    load(small)
    (small / "test" / "c").mkdir()
    with pytest.raises(loader.DataError, match="a class without images"):
        load(small)
    (small / "test" / "c").rmdir()
    (small / "test" / "a" / "test_a_0.png").unlink()
    with pytest.raises(loader.DataError, match="no such file"):
        load(small)


def test_a_change_in_the_moment_of_reading_is_seen(small):
    """Also where the clock of the file system does not tell the two contents apart."""
    path = small / "train" / "a" / "train_a_0.png"
    for _ in range(20):
        write_png(path, RNG.integers(0, 256, (6, 5), np.uint8), compress_level=0)  # so all have one size
        load(small)
        pixels = RNG.integers(0, 256, (6, 5), np.uint8)
        write_png(path, pixels, compress_level=0)
        np.testing.assert_array_equal(load(small)[0].train.images[0], pixels)


def test_what_was_changed_while_it_was_read_is_read_again(small):
    path = small / "test" / "b" / "test_b_1.png"
    pixels = np.full((6, 5), 9, np.uint8)
    loader._cache.clear()
    loader.load(small, lambda done, total: write_png(path, pixels) if done == total else None)
    loaded, decoded = load(small)
    assert decoded == 10
    np.testing.assert_array_equal(loaded.test.images[-1], pixels)


def test_a_moved_set_has_its_own_place(small, tmp_path):
    load(small)
    small.rename(tmp_path / "moved")
    loaded, decoded = load(tmp_path / "moved")
    assert decoded == 10
    assert loaded.train.files[0].is_relative_to(tmp_path / "moved")
    assert str(tmp_path / "moved") in loaded.description


def test_what_the_preparation_said_is_kept(small):
    assert load(small)[0].source == "folder"
    described(small)
    for decoded in (10, 0):
        loaded, count = load(small)
        assert count == decoded
        assert (loaded.source, loaded.description) == ("digits", "others; changed since it was prepared")


@pytest.mark.parametrize("seed", range(4))
def test_damage_anywhere_is_never_a_wrong_image(small, kept, seed):
    expected, _ = load(small)
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    draw = np.random.default_rng(seed)
    for _ in range(25):
        content = bytearray(whole)
        if draw.random() < 0.3:
            content = content[: draw.integers(len(content))]
        for place in draw.integers(0, max(len(content), 1), draw.integers(1, 4)):
            if content:
                content[place] ^= 1 << draw.integers(8)
        path.write_bytes(content)
        assert_same(load(small)[0], expected)
    path.write_bytes(whole)
    assert load(small)[1] == 0


def rewritten(path: Path, change) -> None:
    """A whole zip file with other content, as no accident would make it."""
    with np.load(path) as arrays:
        content = dict(arrays)
    change(content)
    np.savez(path, **content)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["train_images"].__setitem__((0, 0, 0), content["train_images"][0, 0, 0] ^ 1),
        lambda content: content["test_labels"].__setitem__(0, 1),
        lambda content: content.update(train_images=content["train_images"].astype(np.int8)),
        lambda content: content.update(train_images=content["train_images"][1:]),
        lambda content: content.update(train_labels=content["train_labels"].astype(float)),
        lambda content: content.update(facts=np.frombuffer(b"[]", np.uint8)),
        lambda content: content.update(facts=np.frombuffer(b"{}", np.uint8)),
        lambda content: content.update(facts=np.frombuffer(b"\xff", np.uint8)),
        lambda content: content.update(facts=np.array([{}], dtype=object)),
        lambda content: content.pop("train_images"),
        lambda content: content.pop("facts"),
        lambda content: content.pop("made_from"),
        lambda content: content.update(made_from=np.array("0" * 64)),
    ],
)
def test_a_foreign_file_counts_as_none(small, kept, change):
    expected, _ = load(small)
    (path,) = kept.iterdir()
    rewritten(path, change)
    loaded, decoded = load(small)
    assert decoded == 10
    assert_same(loaded, expected)
    assert load(small)[1] == 0


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY", b"PK\x03\x04"])
def test_no_archive_at_all(small, kept, content):
    load(small)
    (path,) = kept.iterdir()
    path.write_bytes(content)
    assert load(small)[1] == 10
    assert load(small)[1] == 0


def test_a_cache_that_cannot_be_written(small, kept):
    kept.write_text("a file where the folder should be")
    assert load(small)[1] == load(small)[1] == 10
    kept.unlink()
    kept.mkdir()
    cache._path(loader.absolute(small)).mkdir()  # a folder where the file should be
    assert load(small)[1] == load(small)[1] == 10
    assert [path.name for path in kept.glob("new-*")] == []


def test_a_full_disk_leaves_nothing(small, kept, monkeypatch):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert load(small)[1] == 10
    assert list(kept.iterdir()) == []


def test_the_sets_used_lately_are_kept(tmp_path, kept, monkeypatch):
    monkeypatch.setattr(cache, "KEPT_SETS", 2)
    one, other, third = (write_set(tmp_path / str(number), {"a": 0}) for number in range(3))
    for folder in (one, other, one, third):
        load(folder)
        time.sleep(0.02)  # so that the times of the files differ
    assert len(list(kept.iterdir())) == 2
    assert [load(folder)[1] for folder in (one, third, other)] == [0, 0, 5]


def test_sets_are_kept_as_long_as_there_is_room(tmp_path, kept, monkeypatch):
    monkeypatch.setattr(cache, "KEPT_BYTES", 5000)
    for number in range(3):
        load(write_set(tmp_path / str(number), {"a": 0}))
        assert sum(path.stat().st_size for path in kept.iterdir()) <= 5000
    monkeypatch.setattr(cache, "KEPT_BYTES", 10)
    load(write_set(tmp_path / "large", {"a": 0}))
    assert not cache._path(tmp_path / "large").exists()


def test_loads_at_the_same_time(small, kept):
    expected = loader.read(small).fingerprint
    code = f"from core.dataset import loader; print(loader.load({str(small)!r}).fingerprint)"
    command = [sys.executable, "-c", code]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: subprocess.run(command, cwd=ROOT, capture_output=True, text=True), range(4)))
    assert [(each.stdout.strip(), each.stderr) for each in done] == [(expected, "")] * 4
    loader._cache.clear()
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(loader.load, [small] * 4))) == 1
    assert len(list(kept.iterdir())) == 1
    assert load(small)[1] == 0


def test_where_it_is(monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_CACHE", "/somewhere")
    assert places.cache_folder() == Path("/somewhere")
    monkeypatch.delenv("TRIPLETLAB_CACHE")
    assert places.cache_folder() == ROOT / ".cache"
