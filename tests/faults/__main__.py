"""Everything that may happen to a run, done to real processes on a real disk: python -m tests.faults

Each row of the table is a fault and what became of the run. The table goes to standard output as Markdown and into
tests/faults/results.csv; the exit status is 1 if a row failed. `--short` is what `make test` runs.

A training happens in a child process (deadly.py). A kill is SIGKILL: from outside after a random time, or by the child
itself at a random one of its file operations, some of them halfway through a write. Afterwards the run is resumed until
it is done, and the SHA-256 of all that it left is compared with that of the run that nothing happened to.
"""

import argparse
import csv
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from core import control, experiment
from core.dataset.loader import DataSet
from core.runs import store, writing
from core.runs.files import StoreError
from core.runs.queue import queue
from core.settings.config import RunConfig
from core.settings.presets import PRESETS, from_preset
from tests.conftest import write_digits
from tests.faults import deadly

RESULTS = Path(__file__).parent / "results.csv"
TINY = dict(blocks=(1, 1), width=8, embedding_size=8, triplets=48, batch_size=8, epochs=3, neighbours=3)
SMALL = dict(epochs=2, triplets=32, batch_size=16, images_per_class=4, width=8, cardinality=2, bottleneck_width=4)
EXACT = dict(precision="float32", threads=1)


# Faults: each yields (what happened, what became of it), and raises where the run was hurt


Row = tuple[str, str]


def kills(name: str, config: RunConfig, images: DataSet, runs: Path, count: int, draw: random.Random) -> Iterator[Row]:
    """Kills at random instants, every third run twice; half of them at a file operation."""
    whole = deadly.whole_of(config, images, runs)
    for trial in range(count):
        folder, instants, status = deadly.begin(config, images, runs), [], -1
        for _ in range(2 if trial % 3 == 2 else 1):
            if status:
                status, instant = _kill(folder, images, whole, draw, by_itself=trial % 2 == 1)
                instants.append(instant)
        if status:
            deadly.finish(folder, images)
        _compare(whole, folder)
        outcome = "resumed" if status else "done before the kill"
        yield f"{name}: kill -9 after {', then '.join(instants)}", f"{outcome}, all SHA-256 equal"
        shutil.rmtree(folder)


def _kill(folder: Path, images: DataSet, whole: deadly.Whole, draw: random.Random, by_itself: bool) -> tuple[int, str]:
    """Trains the run until a random instant; the child's status (0: it was done before) and the instant in words."""
    if by_itself:
        operation = draw.randrange(1, whole.operations + 1)
        status = deadly.ended(deadly.begin_child(folder, images, die_at=operation))
        instant = f"file operation {operation} of {whole.operations}"
    else:
        seconds = draw.uniform(0, whole.seconds)
        child = deadly.begin_child(folder, images)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        status = deadly.ended(child)
        instant = f"{seconds:.2f} of {whole.seconds:.2f} s"
    assert status in (0, -signal.SIGKILL), f"the child ended with {status}"
    run = store.read(folder)
    assert run.status == "done" or (status and run.status == "interrupted"), run
    store.history(run), store.steps(run), store.mistakes(run)  # readable at any moment
    return 0 if run.status == "done" else status, instant  # the kill may come between the end of the run and the exit


def _compare(whole: deadly.Whole, folder: Path) -> None:
    found = deadly.digest(folder)
    different = [name for name in whole.digest.keys() | found.keys() if whole.digest.get(name) != found.get(name)]
    assert not different, f"{folder}: {', '.join(sorted(different))} differ"
    assert {file.name for file in folder.iterdir()} == {file.name for file in whole.folder.iterdir()}


def every_operation(config: RunConfig, images: DataSet, runs: Path, stride: int) -> Iterator[Row]:
    """A kill at every file operation of a run, or at every so many."""
    whole = deadly.whole_of(config, images, runs)
    for at in range(1, whole.operations + 1, stride):
        folder = deadly.begin(config, images, runs)
        status = deadly.ended(deadly.begin_child(folder, images, die_at=at))
        assert status in (0, -signal.SIGKILL), f"the child ended with {status}"
        if status:  # how often a checkpoint is saved, and so the number of operations, depends on the time
            deadly.finish(folder, images)
        _compare(whole, folder)
        shutil.rmtree(folder)
    tried = len(range(1, whole.operations + 1, stride))
    yield f"kill -9 at {tried} of the {whole.operations} file operations of a run", "resumed, all SHA-256 equal"


def killed_while_it_begins(config: RunConfig, images: DataSet, runs: Path) -> Iterator[Row]:
    """A kill at each file operation while a run's folder is made."""
    kept, at, status = runs / "beginning", 0, -1
    while status:
        at += 1

        def work(at=at):
            deadly.Deadly(at)
            writing.create(config, images, kept).close()

        status = deadly.ended(deadly.fork(work))
    found = [run.status for run in store.list_runs(kept)]
    assert set(found) == {"interrupted"}, found
    yield f"kill -9 at each of {at - 1} file operations while a run begins", f"{len(found)} runs listed, none damaged"


def damaged_files(config: RunConfig, images: DataSet, runs: Path, cuts: int = 10**9) -> Iterator[Row]:
    """Every file of a finished run cut off, overwritten and replaced; another run beside it stays readable."""
    whole, other = deadly.whole_of(config, images, runs), deadly.begin(config, images, runs / "damaged")
    folder = runs / "damaged" / whole.folder.name
    shutil.copytree(whole.folder, folder)
    readers = {
        "run.json": store.list_runs,
        "history.csv": lambda _: store.history(run),
        "steps.csv": lambda _: store.steps(run),
        "mistakes.csv": lambda _: store.mistakes(run),
        "last.pt": lambda _: store.load_checkpoint(run),
        "label.json": store.list_runs,
        f"embeddings/epoch_{config.epochs:04d}.npz": lambda _: store.embedded(run, config.epochs),
    }
    (folder / "label.json").write_text('{"name": "a name", "archived": false}')
    run = store.read(folder)
    for name, read in readers.items():
        file = folder / name
        content, named, tried = file.read_bytes(), 0, 0
        for damage in _damages(name, content, cuts if name == "run.json" else 40):
            file.unlink()
            if damage is None:
                file.mkdir()
            else:
                file.write_bytes(damage)
            tried += 1
            try:
                read(folder.parent)
                again = store.read(folder)
                named += again.status == "damaged" or bool(again.notes)
                assert again.status in ("done", "damaged")
            except StoreError as error:
                _check_sentence(str(error), name.split("/")[-1])
                named += 1
            assert store.read(other).status == "interrupted"
            assert {each.id for each in store.list_runs(folder.parent)} >= {folder.name, other.name}
            if damage is None:
                file.rmdir()
            file.write_bytes(content)
        yield f"{name} damaged in {tried} ways", f"named {named} times, read as far as it is whole otherwise"
    assert store.read(folder).status == "done"


def _check_sentence(message: str, file: str) -> None:
    assert file in message, message
    assert "\n" not in message, message


def _damages(name: str, content: bytes, cuts: int) -> Iterator[bytes | None]:
    """Contents that are wrong, among them some that are cut off; None stands for a folder in place of the file."""
    yield from (b"", b"hello", b"\xff\xfe\x00\x01", b"\x00" * 100, None)
    for length in range(1, len(content), max(1, len(content) // cuts)):
        yield content[:length]
    draw = random.Random(0)
    for _ in range(40):  # one byte wrong
        place = draw.randrange(len(content))
        yield content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]
    if name == "run.json":
        yield from _odd_json(content)
    if name.endswith(".csv"):
        lines = content.split(b"\n")
        for odd in (b"", b",,,,,,,,,,,,,,,,,,,,,,,,", b'"', b"nan,inf,x", b"1e999," * 9, b"9" * 5000, lines[0]):
            yield b"\n".join([*lines[:2], odd, *lines[2:]])


def _odd_json(content: bytes) -> Iterator[bytes]:
    """run.json with each of its entries, also those within, of another type or far too large."""
    facts = json.loads(content)
    odd = (None, True, -1, 1.5, 10**400, "", "x", "\ud800", "a\0b", [], [[]], {}, {"a": None})
    for place in [(name,) for name in facts] + [(a, b) for a in facts if isinstance(facts[a], dict) for b in facts[a]]:
        for value in odd:
            changed = json.loads(content)
            inner = changed if len(place) == 1 else changed[place[0]]
            inner[place[-1]] = value
            yield json.dumps(changed).encode()
        del inner[place[-1]]
        yield json.dumps(changed).encode()
    yield from (b"[" * 100_000, b'{"format": NaN}', b'{"format": 1e999}', b"9" * 10_000, b'"' + b"x" * 2_000_000 + b'"')


def damaged_checkpoints(config: RunConfig, images: DataSet, runs: Path) -> Iterator[Row]:
    """Resuming from a checkpoint that is cut off, foreign, or full of other things."""
    whole = deadly.whole_of(config, images, runs)
    foreign = deadly.begin(config, images, runs)
    deadly.finish(foreign, images)
    other = io.BytesIO()
    torch.save({"format": 2, "run": "x", "training": {"epoch": 1, "step": 2}, "progress": {}}, other)
    newer = io.BytesIO()
    torch.save({"format": 99}, newer)
    content = (whole.folder / "last.pt").read_bytes()
    cases = {
        "empty": b"",
        "cut in half": content[: len(content) // 2],
        "with a wrong bit": content[: len(content) // 2] + b"\x55" + content[len(content) // 2 + 1 :],
        "of another run": (foreign / "last.pt").read_bytes(),
        "with other entries": other.getvalue(),
        "of a newer version": newer.getvalue(),
    }
    for case, damage in cases.items():
        folder = runs / f"with-{case.replace(' ', '-')}"
        shutil.copytree(whole.folder, folder)
        (folder / "last.pt").write_bytes(damage)
        said = folder / "said"

        def work(folder=folder, said=said):
            try:
                with writing.reopen(store.read(folder), images, add_epochs=1) as writer:
                    list(experiment.run(writer, images))
            except StoreError as error:
                said.write_text(str(error))

        assert deadly.ended(deadly.fork(work)) == 0
        run = store.read(folder)
        assert (run.status, run.error) == ("failed", said.read_text())
        assert len(store.history(run)) == config.epochs
        yield f"resume with a last.pt {case}", run.error.replace(str(runs), "…")


def full_disk(config: RunConfig, images: DataSet, runs: Path, shares: tuple = (0.02, 0.6)) -> Iterator[Row]:
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
            _compare(whole, folder)
            shutil.rmtree(folder)
            yield f"disk full at {share:.0%} of a run: {run.status}", "space freed, resumed, all SHA-256 equal"
        folder = deadly.begin(config, images, disk)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        status = deadly.ended(deadly.fork(lambda: _train_and_say(folder, images, said)))
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert status == 1
        deadly.finish(folder, images)
        _compare(whole, folder)
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


def vanished_folder(config: RunConfig, images: DataSet, runs: Path) -> Iterator[Row]:
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


def two_writers(config: RunConfig, images: DataSet, runs: Path, writers: int = 6) -> Iterator[Row]:
    """Several processes take up the same run at the same moment, while others read it without a break."""
    whole, folder = deadly.whole_of(config, images, runs), deadly.begin(config, images, runs)
    go, bad = runs / "go", runs / "bad"

    def write():
        while not go.exists():
            time.sleep(0.001)
        deadly.train_on(folder, images)

    def read():
        while True:
            run = store.read(folder)
            try:
                store.history(run), store.steps(run), store.mistakes(run)
                right = run.status in ("interrupted", "queued", "running", "done")
            except StoreError as error:
                right, run = False, error
            if not right:
                bad.write_text(str(run))

    readers = [deadly.fork(read) for _ in range(2)]
    children = [deadly.fork(write) for _ in range(writers)]
    go.touch()
    statuses = sorted(deadly.ended(child) for child in children)
    for reader in readers:
        os.kill(reader, signal.SIGKILL)
        deadly.ended(reader)
    assert statuses == [0] + [1] * (writers - 1), statuses
    assert not bad.exists(), bad.read_text()
    _compare(whole, folder)
    yield f"{writers} writers of one run at once, 2 readers", f"1 trains, {writers - 1} are refused in one line"


def many_runs(config: RunConfig, images: DataSet, runs: Path, count: int = 200) -> Iterator[Row]:
    """So many runs in the queue of one process, some of them paused, stopped or failing: nothing stays behind."""
    measured = runs / "measured"

    def held() -> dict[str, float]:
        lines = Path("/proc/self/status").read_text().splitlines()
        facts = dict(line.split(":", 1) for line in lines)
        return {
            "memory in MB": int(facts["VmRSS"].split()[0]) / 1024,
            "threads": int(facts["Threads"]),
            "open files": len(os.listdir("/proc/self/fd")),
        }

    def work():
        rows = []
        for number in range(count):
            changes = {"learning_rate": 10.0, "weight_decay": 1.0} if number % 5 == 4 else {}
            control.begin(config.changed(epochs=1, **changes), images, runs / "many")
            if number % 5 == 3:
                control.pause(store.list_runs(runs / "many")[0])
            assert queue().join(60)
            rows.append(held())
        assert not any(run.active for run in store.list_runs(runs / "many"))
        measured.write_text(json.dumps(rows))

    assert deadly.ended(deadly.fork(work)) == 0
    tenth, last = (json.loads(measured.read_text())[place] for place in (9, -1))
    for name, limit in {"memory in MB": 1.05, "threads": 1.0, "open files": 1.0}.items():
        assert last[name] <= limit * tenth[name], (
            f"{name}: {tenth[name]:.0f} after 10 runs, {last[name]:.0f} at the end"
        )
    words = ", ".join(f"{name} {tenth[name]:.0f} -> {last[name]:.0f}" for name in tenth)
    yield f"{count} runs in one process, from the 10th to the last", words


def all_faults(short: bool, images: DataSet, runs: Path, seed: int, only: str = "") -> Iterator[Row]:
    """Every fault in turn."""
    draw = random.Random(seed)
    tiny = RunConfig(**TINY, **EXACT)
    if only:
        yield from globals()[only](tiny, images, runs)
        return
    yield from kills("tiny triplets", tiny, images, runs, 4 if short else 30, draw)
    if not short:
        classifier = RunConfig(**TINY, **EXACT, objective="cross_entropy", augmentation="crop_flip")
        yield from kills("tiny classifier", classifier, images, runs, 12, draw)
    yield from every_operation(tiny, images, runs, 97 if short else 4)
    yield from killed_while_it_begins(tiny, images, runs)
    yield from two_writers(tiny, images, runs, 3 if short else 6)
    yield from full_disk(tiny, images, runs, (0.02, 0.6) if short else (0.02, 0.3, 0.6, 0.8, 0.95))
    yield from vanished_folder(tiny, images, runs)
    yield from damaged_files(tiny, images, runs, 40 if short else 10**9)
    yield from damaged_checkpoints(tiny, images, runs)
    yield from many_runs(tiny, images, runs, 15 if short else 200)
    for preset in () if short else PRESETS:
        if preset != "learning-rate-too-high":  # fails on purpose, and is not resumed
            blocks = (1,) * len(from_preset(preset).blocks)
            yield from kills(preset, from_preset(preset, **SMALL, blocks=blocks), images, runs, 3, draw)


def main() -> int:
    """Tries every fault and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a minute instead of ten")
    parser.add_argument("--seed", type=int, default=0, help="of the random instants")
    parser.add_argument("--only", default="", help="one function of this file, e.g. full_disk")
    parser.add_argument("--csv", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    options = parser.parse_args()
    failed = False
    memory = "/dev/shm" if options.short and os.path.isdir("/dev/shm") else None  # busy disks take minutes
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="tripletlab-faults-", dir=memory) as temporary,
        open(options.csv, "w", newline="", encoding="utf-8", buffering=1) as file,
    ):
        images = write_digits(Path(temporary) / "digits")
        table = csv.writer(file)
        table.writerow(["fault", "outcome"])
        print("| fault | outcome |\n|---|---|", flush=True)
        try:
            for fault, outcome in all_faults(
                options.short, images, Path(temporary) / "runs", options.seed, options.only
            ):
                table.writerow([fault, outcome])
                print(f"| {fault} | {outcome} |", flush=True)
        except AssertionError as error:
            failed = True
            traceback.print_exc()
            table.writerow(["the next one", f"FAILED: {error}"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
