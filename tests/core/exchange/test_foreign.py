"""Runs from strangers, file by file: no code is run, nothing impossible is taken."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from core.exchange import packed_runs
from core.exchange.archives import UploadError
from core.runs import store
from tests.core.zips import (
    arrays_of,
    changed,
    first,
    many,
    refused_run,
    resaved,
    row,
    weights,
    zipped,
)


class Evil:
    """A pickle that would make a file."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


def pt_with(data_pkl: bytes, **more: bytes) -> bytes:
    """A file like torch.save's with a list of tensors of our own."""
    files = {"archive/data.pkl": data_pkl, "archive/version": b"3\n", "archive/byteorder": b"little"}
    return zipped(
        files | {f"archive/data/{name}": content for name, content in more.items()}, zipfile.ZIP_STORED
    ).getvalue()


@pytest.mark.parametrize("name", ["last.pt", "best.pt"])
def test_code_in_a_checkpoint_is_not_run(name, members, runs, tmp_path):
    evil = tmp_path / "executed"
    saved = io.BytesIO()
    torch.save({"epoch": 2, "steps": 3, "network": {}, "optimiser": Evil(evil)}, saved)
    legacy = io.BytesIO()
    torch.save({"epoch": Evil(evil)}, legacy, _use_new_zipfile_serialization=False)
    for content in (saved.getvalue(), pt_with(pickle.dumps(Evil(evil), 4)), pt_with(pickle.dumps(Evil(evil), 0))):
        reason = refused_run(changed(members, name, content), runs)
        assert f"{name}: holds code" in reason
        assert "it was not run" in reason
    for content in (legacy.getvalue(), pickle.dumps(Evil(evil)), b"", b"x"):
        assert f"{name}: not one of this lab" in refused_run(changed(members, name, content), runs)
    assert not evil.exists()


def test_a_bytearray_of_any_size_is_not_made(members, runs):
    """torch.load(weights_only=True) would."""
    content = pt_with(b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85R.")
    assert "holds code (builtins.bytearray)" in refused_run(changed(members, "last.pt", content), runs)


def tensor_pickle(count: int, shape: tuple, stride: tuple, offset: int = 0) -> bytes:
    """The pickle of a float tensor that says its storage has `count` numbers."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "0", "cpu", count) if value is marker else None

    class Rebuilt:
        def __reduce__(self):
            from collections import OrderedDict

            return torch._utils._rebuild_tensor_v2, (marker, offset, shape, stride, False, OrderedDict())

    marker = object()
    stream = io.BytesIO()
    Pickler(stream, 2).dump({"epoch": 2, "steps": 3, "network": {"w": Rebuilt()}, "optimiser": {}})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("count", "shape", "stride", "offset"),
    [
        (10**12, (10**12,), (1,), 0),  # a storage larger than the file
        (4, (10**9,), (1,), 0),  # a tensor larger than its storage
        (4, (10**9,), (0,), 0),  # the same number a thousand million times
        (10**12, (4,), (1,), 10**11),  # numbers from somewhere else in the memory
        (4, (4,), (-1,), 0),
        (-4, (4,), (1,), 0),
    ],
)
def test_tensors_that_lie_about_their_size(count, shape, stride, offset, members, runs):
    content = pt_with(tensor_pickle(count, shape, stride, offset), **{"0": bytes(16)})
    assert "last.pt" in refused_run(changed(members, "last.pt", content), runs)


CHECKPOINTS = {
    "nan": (lambda state: weights(state)[first(state)].fill_(torch.nan), "not a finite number"),
    "infinite": (lambda state: weights(state)[first(state)].fill_(torch.inf), "not a finite number"),
    "nan unused": (lambda state: state.update(more=torch.tensor(torch.nan)), "not a finite number"),
    "shape": (lambda state: weights(state).update({first(state): torch.zeros(3)}), "another network"),
    "no tensor": (lambda state: weights(state).update({first(state): 1.0}), "not one of this lab"),
    "one more": (lambda state: weights(state).update(more=torch.zeros(1)), "another network"),
    "one less": (lambda state: weights(state).pop(first(state)), "another network"),
    "no network": (lambda state: state["training"].pop("network"), "not one of this lab (KeyError)"),
    "list": (lambda state: state["training"].update(network=[1]), "not one of this lab"),
    "no optimiser": (lambda state: state["training"].pop("optimiser"), "not one of this lab (KeyError)"),
    "no training": (lambda state: state.pop("training"), "not one of this lab (KeyError)"),
    "no progress": (lambda state: state.pop("progress"), "not one of this lab (KeyError)"),
    "more progress": (lambda state: state["progress"].update(evil=1), "not one of this lab (TypeError)"),
    "further": (lambda state: state["training"].update(epoch=2), "from another step"),
    "within": (lambda state: state["training"].update(step=1), "from another step"),
    "other accuracy": (lambda state: state["progress"]["history"][1].update(test_accuracy=1.0), "its predictions"),
    "no accuracy": (lambda state: state["progress"]["history"][1].update(test_accuracy=None), "cannot be read"),
    "impossible accuracy": (lambda state: row(state).update(test_accuracy=7.0), "cannot be in a history"),
    "impossible seconds": (lambda state: row(state).update(seconds=1e300), "cannot be in a history"),
    "impossible loss": (lambda state: row(state).update(train_loss=1e30), "cannot be in a history"),
    "negative accuracy": (lambda state: row(state).update(train_accuracy=-0.5), "cannot be in a history"),
    "impossible share": (lambda state: row(state).update(easy=1.5), "cannot be in a history"),
    "impossible distance": (lambda state: row(state).update(positive_distance=21), "cannot be in a history"),
    "negative loss": (lambda state: row(state).update(test_loss=-1), "cannot be in a history"),
    "history": (lambda state: state["progress"].update(history=7), "not one of this lab"),
    "no history": (lambda state: state["progress"].update(history=[]), "without the epochs"),
    "an epoch twice": (lambda state: state["progress"]["history"][1].update(epoch=1), "without the epochs"),
    "a column less": (lambda state: [each.pop("train_loss") for each in state["progress"]["history"]], "no column"),
    "name in history": (lambda state: row(state).update({"<b>": 1}), "cannot be in a history"),
    "text in history": (lambda state: row(state).update(train_loss="=1"), "cannot be in a history"),
    "alarm of no kind": (lambda state: row(state).update(alarm_kind="<b>"), "of no kind"),
    "list in history": (lambda state: row(state).update(train_loss=[1]), "cannot be in a history"),
    "name in pending": (
        lambda state: state["progress"]["steps"].update(pending={"<b>": 1}, pending_counts={"<b>": 1}),
        "cannot be in a history",
    ),
    "pending without counts": (lambda state: state["progress"]["steps"].update(pending={"a": 1}), "do not fit"),
    "name in sums": (
        lambda state: [state["training"][f"diagnostic_{each}"].update({"=1": 1}) for each in ("sums", "counts")],
        "cannot be in a history",
    ),
    "sums without counts": (lambda state: state["training"]["diagnostic_sums"].update({"a": 1}), "do not fit"),
    "no steps": (lambda state: state["progress"].update(steps={}), "not one of this lab (KeyError)"),
    "half an epoch": (lambda state: state["progress"]["history"][1].update(steps=2), "not as far"),
    "optimiser": (lambda state: state["training"].update(optimiser=[1]), "not one of this lab"),
    "groups": (
        lambda state: state["training"]["optimiser"].update(param_groups=[{"params": [0, 10**9]}]),
        "an optimiser that does not fit",
    ),
    "momentum": (
        lambda state: state["training"]["optimiser"]["state"][0].update(momentum_buffer=torch.zeros(2, 2)),
        "does not fit",
    ),
    "momentum nan": (
        lambda state: state["training"]["optimiser"]["state"][0]["momentum_buffer"].fill_(torch.nan),
        "not a finite number",
    ),
    "not finite": (
        lambda state: state["training"]["optimiser"]["param_groups"][0].update(lr=float("nan")),
        "something else",
    ),
    "sparse": (lambda state: state.update(more=torch.eye(2).to_sparse()), "holds code"),
    "a set": (lambda state: state.update(more={1}), "holds code"),
    "deep": (lambda state: state.update(more=nested(50)), "too deep"),
    "laughs": (lambda state: state.update(more=laughs(9)), "too many values"),
    "expanded": (lambda state: state.update(more=torch.zeros(1).expand(10**10)), "tensors of more than"),
}


def nested(depth: int) -> list:
    value = []
    for _ in range(depth):
        value = [value]
    return value


def laughs(depth: int) -> list:
    value = ["ha"] * 10
    for _ in range(depth - 1):
        value = [value] * 10
    return value


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_checkpoint_that_does_not_fit(case, members, runs):
    change, reason = CHECKPOINTS[case]
    assert reason in refused_run(resaved(members, "last.pt", change), runs)


@pytest.mark.parametrize("name", ["last.pt", "best.pt", "embeddings/epoch_0002.npz"])
def test_a_huge_table_of_contents_inside(name, members, runs):
    reason = refused_run(changed(members, name, many(300_000).getvalue()), runs)
    assert f"{Path(name).name}: its table of contents is too large" in reason


def test_a_deflated_checkpoint_is_refused(members, runs):
    with zipfile.ZipFile(io.BytesIO(members["last.pt"])) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert "not packed as the lab packs" in refused_run(changed(members, "last.pt", zipped(files).getvalue()), runs)


def spoilt(members: dict, name: str, value) -> io.BytesIO:
    with np.load(io.BytesIO(members["embeddings/epoch_0002.npz"])) as arrays:
        array = arrays[name].copy()
    array.flat[0] = value
    return arrays_of(members, **{name: array})


def test_embeddings_that_cannot_be(members, runs, tmp_path):
    evil = tmp_path / "executed"
    objects = np.array([Evil(evil)], dtype=object)
    deflated = io.BytesIO()
    np.savez_compressed(deflated, train=np.zeros((48, 8), np.float16))
    cases = [
        (arrays_of(members, train=objects), "Object arrays cannot be loaded"),
        (arrays_of(members, scores=None), "scores"),
        (arrays_of(members, test=np.zeros((24, 9), np.float16)), "not those of the training images"),
        (arrays_of(members, train=np.ones((48, 9)), test=np.ones((24, 9))), "cannot have made"),
        (arrays_of(members, train=np.full((48, 8), "x")), "cannot be read"),
        (spoilt(members, "train", np.nan), "infinite numbers"),
        (spoilt(members, "scores", np.inf), "infinite numbers"),
        (spoilt(members, "train", 60), "cannot have made"),
        (spoilt(members, "predicted", 4), "predicts a class that is none"),
        (spoilt(members, "predicted", -1), "predicts a class that is none"),
        (
            changed(members, "embeddings/epoch_0001.npz", pickle.dumps(Evil(evil))),
            "epoch_0001.npz: not one of this lab",
        ),
        (changed(members, "embeddings/epoch_0001.npz", b""), "epoch_0001.npz: not one of this lab"),
        (changed(members, "embeddings/epoch_0001.npz", deflated.getvalue()), "not packed as the lab packs"),
    ]
    for archive, reason in cases:
        assert reason in refused_run(archive, runs)
    new = store.find(runs, packed_runs.read_run(arrays_of(members, more=objects), runs))
    with np.load(new.folder / "embeddings" / "epoch_0002.npz") as arrays:
        assert sorted(arrays) == ["predicted", "scores", "test", "train"]
    assert not evil.exists()


def test_an_array_that_announces_a_terabyte(members, runs):
    header = b"{'descr': '<f2', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    huge = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(io.BytesIO(members["embeddings/epoch_0002.npz"])) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    content = zipped(files | {"train.npy": huge}, zipfile.ZIP_STORED).getvalue()
    assert "epoch_0002.npz cannot be read" in refused_run(changed(members, "embeddings/epoch_0002.npz", content), runs)


STEPS = {
    "not a number": (b"epoch,step,seconds,loss\n1,1,1,NaN\n", "makes no sense"),
    "infinite": (b"epoch,step,seconds,loss\n1,1,1e999,1\n", "makes no sense"),
    "a formula": (b"epoch,step,seconds,loss\n1,1,1,=cmd\n", "makes no sense"),
    "html": (b"epoch,step,seconds,loss\n1,1,1,<img>\n", "makes no sense"),
    "a line too long": (b"epoch,step,seconds,loss\n1,1,1,1,7\n", "has 5 values instead of 4"),
    "a column less": (b"epoch,step,seconds\n1,1,1\n", "no column loss"),
    "no names": (b"," * 1000 + b"\n1\n", "cannot be read"),
    "html for a name": (b"epoch,step,seconds,loss,<b>\n1,1,1,1,1\n", "outside the epochs"),
    "epochs below": (b"epoch,step,seconds,loss\n0,1,1,1\n", "outside the epochs"),
    "epochs above": (b"epoch,step,seconds,loss\n3,1,1,1\n", "outside the epochs"),
    "steps below": (b"epoch,step,seconds,loss\n1,-99,1,1\n", "outside the epochs"),
    "steps above": (b"epoch,step,seconds,loss\n1,4,1,1\n", "outside the epochs"),
    "other bytes": (b"\xff\xfe\n", "cannot be read"),
}


@pytest.mark.parametrize("case", STEPS)
def test_a_curve_that_cannot_be(case, members, runs):
    content, reason = STEPS[case]
    assert reason in refused_run(changed(members, "steps.csv", content), runs)


def test_no_exception_but_a_refusal_for_damaged_bytes(members, runs):
    """A bit turned or a stretch cut out anywhere, in the zip file and in each member."""
    draw = np.random.default_rng(5)

    def damaged(content: bytes) -> bytes:
        at = int(draw.integers(len(content)))
        if draw.random() < 0.3:
            return content[:at] + content[at + int(draw.integers(1, 100)) :]
        return content[:at] + bytes([content[at] ^ (1 << int(draw.integers(8)))]) + content[at + 1 :]

    whole = zipped(members, zipfile.ZIP_STORED).getvalue()
    tries = [io.BytesIO(damaged(whole)) for _ in range(60)]
    for name in members:
        tries += [changed(members, name, damaged(members[name])) for _ in range(4)]
    taken, reasons = 0, []
    for archive in tries:
        try:
            packed_runs.read_run(archive, runs)
            taken += 1
        except UploadError as error:
            reasons.append(str(error))
    assert all(map(str.isprintable, reasons))
    assert len(list(runs.iterdir())) == taken
    assert all(run.config and run.result for run in store.list_runs(runs))
