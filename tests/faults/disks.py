"""Faults: a disk that is full or read-only, and a folder that is gone."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core import experiment
from core.dataset.loader import DataSet
from core.runs import store, writing
from core.runs.files import StoreError
from core.settings.config import RunConfig
from tests.faults import deadly


def full_disk(config: RunConfig, images: DataSet, runs: Path, shares: tuple = (0.02, 0.6)) -> Iterator[deadly.Row]:
    """A disk that is full, and later has space again; then one that is read-only."""
    whole = deadly.whole_of(config, images, runs)
    size = sum(file.stat().st_size for file in whole.folder.rglob("*"))
    room = size + 4 * (whole.folder / "last.pt").stat().st_size  # the old checkpoints stay until the new one is whole
    with small_disk(runs / "disk", room) as disk:
        if disk is None:
            yield "full disk", "skipped: mounting a small disk needs root"
            return
        filler = disk / "filler"
        for share in shares:
            folder = deadly.begin(config, images, disk)
            filler.write_bytes(b"x" * (shutil.disk_usage(disk).free - int(size * share)))
            said = runs / "said"
            status = deadly.ended(deadly.fork(lambda folder=folder, said=said: _train_and_say(folder, images, said)))
            assert status == 1, f"with {share:.0%} of the space the run ended with {status}"
            run, reason = store.read(folder), said.read_text()
            assert "No space left on device" in reason, reason
            assert "free some space, then resume" in reason
            assert run.status in ("failed", "interrupted"), run
            assert not list(folder.rglob("*.tmp"))
            store.history(run), store.steps(run), store.mistakes(run)
            filler.unlink()
            deadly.finish(folder, images)
            deadly.compare(whole, folder)
            shutil.rmtree(folder)
            yield f"disk full at {share:.0%} of a run: {run.status}", "space freed, resumed, all SHA-256 equal"
        folder = deadly.begin(config, images, disk)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        status = deadly.ended(deadly.fork(lambda: _train_and_say(folder, images, said)))
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert status == 1
        deadly.finish(folder, images)
        deadly.compare(whole, folder)
        yield f"read-only disk: {said.read_text().replace(str(runs), '…')}", "resumed, all SHA-256 equal"


def _train_and_say(folder: Path, images: DataSet, said: Path) -> None:
    try:
        deadly.train_on(folder, images)
    except StoreError as error:
        said.write_text(str(error))
        raise


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path | None]:
    """A disk of `size` bytes in memory, or None where it cannot be mounted."""
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def vanished_folder(config: RunConfig, images: DataSet, runs: Path) -> Iterator[deadly.Row]:
    """The run's folder is deleted while it is trained."""
    folder, said = deadly.begin(config, images, runs), runs / "said"

    def work():
        try:
            with writing.reopen(store.read(folder), images) as writer:
                for number, _ in enumerate(experiment.run(writer, images)):
                    if number == 3:
                        shutil.rmtree(folder)
        except StoreError as error:
            said.write_text(str(error))
            raise

    assert deadly.ended(deadly.fork(work)) == 1
    assert "the run's folder is gone" in said.read_text()
    assert not folder.exists()
    yield "folder deleted in mid-run", said.read_text().replace(str(runs), "…")
