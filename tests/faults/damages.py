"""Faults: files of a run that are cut off, overwritten, replaced or foreign."""

import io
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from core import experiment
from core.dataset.loader import DataSet
from core.runs import store, writing
from core.runs.files import StoreError
from core.settings.config import RunConfig
from tests.faults import deadly


def damaged_files(config: RunConfig, images: DataSet, runs: Path, cuts: int = 10**9) -> Iterator[deadly.Row]:
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


def damaged_checkpoints(config: RunConfig, images: DataSet, runs: Path) -> Iterator[deadly.Row]:
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
