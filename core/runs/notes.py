"""What a student notes about a run's images, and the answers to the sheet's questions: the run's notes.json."""

import json
import os
import threading
from dataclasses import asdict, dataclass, field

from core.runs.checks import check, read_json
from core.runs.files import StoreError, replacing
from core.runs.store import Run

TAGS = ("blurred", "ambiguous", "broken stroke", "wrong label")
LONGEST_NOTE, LONGEST_TAG, MOST_TAGS = 4000, 40, 12
_one_at_a_time = threading.Lock()  # what is written is what was read, changed


@dataclass(frozen=True)
class Note:
    """What is noted about one image."""

    text: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""  # the student who wrote it; empty: the teacher


@dataclass(frozen=True)
class Notes:
    """All notes of a run."""

    images: dict[str, Note] = field(default_factory=dict)  # by id
    answers: dict[str, str] = field(default_factory=dict)  # by question

    def tag_counts(self) -> dict[str, int]:
        """How many images carry each tag, the most frequent first."""
        tags = [tag for note in self.images.values() for tag in note.tags]
        return {tag: tags.count(tag) for tag in sorted(set(tags), key=lambda tag: (-tags.count(tag), tag))}


def read(run: Run) -> Notes:
    """The notes of a run; none without a file. Raises StoreError for a damaged one, which is left as it is."""
    file = run.folder / "notes.json"
    if not os.path.lexists(file):
        return Notes()
    try:
        found = read_json(file)
        check(isinstance(found, dict), "it holds no notes")
        images = {name: _note(each) for name, each in found.get("images", {}).items()}
        return Notes(images, {name: _text(each) for name, each in found.get("answers", {}).items()})
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise StoreError(f"{file} cannot be read ({error}); mend it or take it out of the folder") from error


def _note(entry: dict) -> Note:
    tags = tuple(map(_text, entry.get("tags", [])))
    return Note(_text(entry.get("text", "")), tags, _text(entry.get("owner", "")))


def _text(value) -> str:
    check(isinstance(value, str), "a note is no text")
    return value


def save(run: Run, image: str, note: Note) -> Notes:
    """Keeps what is noted about an image; an empty note is removed. Returns all notes. Raises StoreError."""
    if len(note.text) > LONGEST_NOTE:
        raise StoreError(f"the note has {len(note.text)} characters; at most {LONGEST_NOTE} are kept")
    tags = tuple(dict.fromkeys(" ".join(tag.split())[:LONGEST_TAG] for tag in note.tags if tag.strip()))
    if len(tags) > MOST_TAGS:
        raise StoreError(f"{len(tags)} tags are too many; at most {MOST_TAGS} are kept")
    with _one_at_a_time:
        old = read(run)
        images = {name: each for name, each in old.images.items() if name != image}
        if note.text.strip() or tags:
            images[image] = Note(note.text.strip(), tags, note.owner)
        return _write(run, Notes(images, old.answers))


def save_answer(run: Run, question: str, answer: str) -> Notes:
    """Keeps the answer to a question of the sheet. Raises StoreError."""
    if len(answer) > LONGEST_NOTE:
        raise StoreError(f"the answer has {len(answer)} characters; at most {LONGEST_NOTE} are kept")
    with _one_at_a_time:
        old = read(run)
        return _write(run, Notes(old.images, old.answers | {question: answer.strip()}))


def _write(run: Run, notes: Notes) -> Notes:
    images = {name: asdict(each) for name, each in notes.images.items()}
    with replacing(run.folder / "notes.json") as file:
        file.write(json.dumps({"images": images, "answers": notes.answers}, ensure_ascii=False, indent=1).encode())
    return notes
