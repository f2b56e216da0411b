"""Who may do what: each action of core/control.py tried by everybody. The table in docs/classroom.md is made here.

If the last test fails because an action was added or changed: python -m tests.core.classroom.test_permissions
"""

import inspect
import io
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from core import control, places, rate_finding
from core.classroom import codes
from core.classroom.limits import LimitReached
from core.classroom.roles import STRANGER, TEACHER, VIEWER, Actor, NotAllowed, Role
from core.dataset.loader import DataError
from core.exchange import deleted, packed_sets
from core.exchange.archives import UploadError
from core.exchange.deleted import Deleted
from core.race import Race
from core.runs import store, writing
from core.runs.files import StoreError
from core.runs.notes import Note
from core.runs.store import Run
from core.settings.config import ConfigError, RunConfig

DOCUMENT = Path(__file__).parents[3] / "docs" / "classroom.md"
WHO = {
    "stranger": STRANGER,
    "viewer": VIEWER,
    "student without a name": Actor(Role.STUDENT),
    "student, another's": Actor(Role.STUDENT, "Bob"),
    "student, own": Actor(Role.STUDENT, "Anna"),
    "teacher": TEACHER,
}
IMPOSSIBLE = RunConfig(objective="triplet", triplets=24, batch_size=8, neighbours=10**3)
ACTIONS = {  # in words: the function of control, and it called for Anna's run by somebody
    "begin a run": ("begin", lambda run, who: control.begin(IMPOSSIBLE, None, run.folder.parent, actor=who)),
    "resume, train for longer": ("resume", lambda run, who: control.resume(replace(run, config=None), None, 1, who)),
    "train a single step": ("one_step", lambda run, who: control.one_step(replace(run, config=None), None, who)),
    "begin a race": ("begin_race", lambda run, who: control.begin_race("no", {}, 1, None, run.folder, actor=who)),
    "go on with a race": (
        "resume_race",
        lambda run, who: control.resume_race(raced(run), None, run.folder.parent, who),
    ),
    "replay": ("replay", lambda run, who: control.replay(run, None, who)),
    "test learning rates": ("find_rate", lambda run, who: control.find_rate(IMPOSSIBLE, None, who)),
    "end such a test": ("end_rate_test", lambda run, who: control.end_rate_test(IMPOSSIBLE, rates_of_hers(), who)),
    "pause": ("pause", lambda run, who: control.pause(run, who)),
    "stop": ("stop", lambda run, who: control.stop(run, who)),
    "rename": ("rename", lambda run, who: control.rename(run, "new", who)),
    "archive, take back": ("archive", lambda run, who: control.archive([run], True, who)),
    "delete": ("delete", lambda run, who: control.delete([run], who)),
    "delete a data set": ("delete_data", lambda run, who: control.delete_data(uploaded(), run.folder.parent, who)),
    "bring back from the trash": ("bring_back", lambda run, who: control.bring_back(thrown(run), who)),
    "delete for good": ("empty_trash", lambda run, who: control.empty_trash([thrown(run)], who)),
    "take away with its weights": ("download", lambda run, who: control.download(run, "run", who)),
    "change the owner's note": ("note", lambda run, who: control.note(run, "an image", Note("changed"), who)),
    "answer the sheet's questions": ("answer", lambda run, who: control.answer(run, "a question", "text", who)),
    "bring in a run": ("bring_in_run", lambda run, who: control.bring_in_run(io.BytesIO(), run.folder.parent, [], who)),
    "bring in a data set": ("bring_in_data", lambda run, who: control.bring_in_data(io.BytesIO(), "a", who)),
    "pause everybody": ("pause_everybody", lambda run, who: control.pause_everybody(run.folder.parent, who)),
    "free a name": ("free_name", lambda run, who: control.free_name(run.folder.parent, "Anna", who)),
}


def raced(run: Run) -> Race:
    """A race with this run in it."""
    return Race(race="race", created=run.created, preset="quick", vary=("seed",), runs=(run.id, "another"))


def rates_of_hers() -> SimpleNamespace:
    """Images for which Anna tests learning rates."""
    images = SimpleNamespace(fingerprint="hers")
    rate_finding._told[rate_finding._name(IMPOSSIBLE, images)] = rate_finding.Told(owner="Anna")
    return images


def uploaded() -> Path:
    """A data set that Anna has brought in."""
    return places.uploads_folder() / "hers"


def thrown(run: Run) -> Deleted:
    """Another run of Anna's, which is in the trash."""
    return deleted.listed(run.folder.parent)[0]


def annas_run(runs: Path, digits, tiny) -> Run:
    """An interrupted run of Anna's with a note of hers."""
    codes.read(runs)
    codes.take_name(runs, "Anna")
    uploaded().mkdir(parents=True, exist_ok=True)
    packed_sets.give(uploaded(), "Anna")
    with writing.create(tiny, digits, runs, owner="Anna") as other:
        pass
    store.throw_away(other.folder)
    with_writer = writing.create(tiny, digits, runs, owner="Anna")
    with_writer.close()
    run = store.read(with_writer.folder)
    control.note(run, "an image", Note("hers"), Actor(Role.STUDENT, "Anna"))
    return run


def allowed(action, run: Run, who: Actor) -> bool:
    """Whether somebody may; that it cannot be done for another reason is no refusal."""
    try:
        action(run, who)
    except NotAllowed:
        return False
    except (StoreError, ConfigError, UploadError, DataError, LimitReached, AttributeError):
        pass
    return True


def table(digits, tiny) -> str:
    """Roles x actions, as Markdown."""
    lines = [f"| | {' | '.join(WHO)} |", f"|---|{'---|' * len(WHO)}"]
    for words, (_, action) in ACTIONS.items():
        cells = []
        for who in WHO.values():
            with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
                patch.setenv("TRIPLETLAB_UPLOADS", str(Path(folder) / "uploads"))
                cells.append("yes" if allowed(action, annas_run(Path(folder) / "runs", digits, tiny), who) else "–")
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_UPLOADS", str(tmp_path / "uploads"))
    return tmp_path / "runs"


def test_every_action_that_takes_an_actor_is_in_the_table():
    functions = dict(inspect.getmembers(control, inspect.isfunction))
    asking = {name for name, function in functions.items() if "actor" in inspect.signature(function).parameters}
    assert asking == {name for name, _ in ACTIONS.values()}


@pytest.mark.parametrize("words", list(ACTIONS))
@pytest.mark.parametrize("who", list(WHO))
def test_what_is_refused_changes_nothing(words, who, lab, digits, tiny):
    run = annas_run(lab, digits, tiny)
    before = {file: file.read_bytes() for file in lab.parent.rglob("*") if file.is_file()}
    may = allowed(ACTIONS[words][1], run, WHO[who])
    after = {file: file.read_bytes() for file in lab.parent.rglob("*") if file.is_file()}
    assert may or after == before
    teachers_only = words in ("pause everybody", "free a name")
    own = {"begin a run", "begin a race", "replay", "test learning rates", "bring in a run", "bring in a data set"}
    on_hers = words not in own
    assert may == (
        who == "teacher"
        or (who == "student, own" and not teachers_only)
        or (who == "student, another's" and not on_hers and not teachers_only)
    )


def test_a_refusal_says_who_may_or_what_to_do(lab, digits, tiny):
    run = annas_run(lab, digits, tiny)
    said = {
        VIEWER: "you look on; enter the class code at /enter to stop this run",
        Actor(Role.STUDENT): "choose a name first, then you can stop this run: open /enter",
        Actor(Role.STUDENT, "Bob"): "only Anna or the teacher can stop this run",
    }
    for who, words in said.items():
        with pytest.raises(NotAllowed, match=words):
            control.stop(run, who)


def test_what_belongs_to_nobody_is_the_teachers(lab, digits, tiny):
    writing.create(tiny, digits, lab).close()
    (run,) = store.list_runs(lab)
    assert run.owner == ""
    with pytest.raises(NotAllowed, match="only the teacher can rename this run"):
        control.rename(run, "mine", Actor(Role.STUDENT, "Anna"))
    with pytest.raises(NotAllowed):
        control.rename(run, "mine", Actor(Role.STUDENT))
    control.rename(run, "mine")
    assert store.read(run.folder).name == "mine"


def test_a_note_belongs_to_who_wrote_it(lab, digits, tiny):
    run = annas_run(lab, digits, tiny)
    bob = Actor(Role.STUDENT, "Bob")
    control.note(run, "another", Note("his"), bob)
    with pytest.raises(NotAllowed, match="only Bob or the teacher can change this note"):
        control.note(run, "another", Note(""), Actor(Role.STUDENT, "Anna"))
    control.note(run, "another", Note("his, corrected", owner="Anna"))
    assert control.notes.read(run).images["another"] == Note("his, corrected", owner="Bob")


def test_the_table_in_the_document_is_true(digits, tiny):
    found = re.search(r"<!-- roles -->\n(.*)\n<!-- end of roles -->", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found[1] == table(digits, tiny)


if __name__ == "__main__":
    from tests.conftest import write_digits

    small = RunConfig(blocks=(1, 1), width=8, embedding_size=8, triplets=24, batch_size=8, epochs=2, neighbours=3)
    with tempfile.TemporaryDirectory() as name:
        made = table(write_digits(Path(name)), small)
    text = DOCUMENT.read_text(encoding="utf-8")
    begin, end = "<!-- roles -->\n", "\n<!-- end of roles -->"
    DOCUMENT.write_text(text[: text.index(begin)] + begin + made + text[text.index(end) :], encoding="utf-8")
