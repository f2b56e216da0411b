"""The codes of a class, its students' names, and the signed tickets that a browser keeps as cookies.

All of it lies in `<runs>/.class/class.json`, which only its owner can read. New codes make all tickets worthless; the
students keep their names.
"""

import hmac
import os
import secrets
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from itsdangerous import BadData, URLSafeTimedSerializer
from pydantic import Field

from core.classroom.limits import Limits
from core.classroom.roles import STRANGER, TEACHER, VIEWER, Actor, NotAllowed, Role
from core.runs.checks import checked_name
from core.runs.files import StoreError, replacing
from core.runs.record import Record, Text
from core.settings.config import ConfigError

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another: i l o 0 1
CLASS_LETTERS, TEACHER_LETTERS = 8, 26  # 31 letters: 39 and 128 bits
LONGEST_STUDENT = 30  # characters of a student's name
MOST_STUDENTS = 500
TICKET_SECONDS = 180 * 24 * 3600
ROLE_COOKIE, NAME_COOKIE = "tripletlab_role", "tripletlab_name"


class Class(Record):
    """class.json."""

    class_code: Text
    teacher_code: Text
    key: Text  # signs roles; new with each pair of codes
    name_key: Text  # signs names
    limits: Limits = Limits()  # of each student
    students: dict[Text, Text] = Field(
        default_factory=dict
    )  # a random word for each name, which the ticket of its owner repeats

    def role_of(self, code: str) -> Role | None:
        """What a code makes of somebody, or None; takes as long for a wrong one."""
        given = "".join(code.casefold().split()).replace("-", "").encode()
        is_teacher = hmac.compare_digest(given, self.teacher_code.encode())
        is_student = hmac.compare_digest(given, self.class_code.encode())
        return Role.TEACHER if is_teacher else Role.STUDENT if is_student else None

    def role_ticket(self, role: Role) -> str:
        """What the browser of somebody with a code keeps."""
        return _signer(self.key, ROLE_COOKIE).dumps(str(role))

    def name_ticket(self, name: str) -> str:
        """What the browser of the student of this name keeps."""
        return _signer(self.name_key, NAME_COOKIE).dumps([name, self.students[name]])

    def actor(self, cookies: Mapping[str, str], viewers: bool = True) -> Actor:
        """Who somebody with these cookies is; `viewers`: whether those without a code may look on."""
        role = _read(_signer(self.key, ROLE_COOKIE), cookies.get(ROLE_COOKIE))
        if role == Role.TEACHER:
            return TEACHER
        if role == Role.STUDENT:
            return Actor(Role.STUDENT, self._name(cookies))
        return VIEWER if viewers else STRANGER

    def _name(self, cookies: Mapping[str, str]) -> str:
        match _read(_signer(self.name_key, NAME_COOKIE), cookies.get(NAME_COOKIE)):
            case [str(name), str(word)] if self.students.get(name) == word:
                return name
        return ""


def spelled(code: str) -> str:
    """A code as people read it: in groups of four letters."""
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))


def read(runs: Path) -> Class:
    """The class of a folder of runs; made where there is none. Raises StoreError."""
    file = _file(runs)
    if not os.path.lexists(file):
        with _changing(runs):
            if not os.path.lexists(file):
                _write(runs, _new())
    return _read_file(file)


def new_codes(runs: Path) -> Class:
    """Changes both codes: everybody has to enter one again. Raises StoreError."""
    with _changing(runs):
        old = _read_file(_file(runs)) if os.path.lexists(_file(runs)) else _new()
        fresh = _new()
        return _write(runs, fresh.changed(students=old.students, name_key=old.name_key, limits=old.limits))


def take_name(runs: Path, name: str) -> Class:
    """Gives a name to a student for good. Raises NotAllowed for one that cannot be had, StoreError."""
    name = checked_student(name)
    with _changing(runs):
        now = _read_file(_file(runs))
        if any(_alike(name) == _alike(taken) for taken in now.students):
            raise NotAllowed(f"{name} is taken; choose another name. If it is yours, ask the teacher to free it")
        if len(now.students) >= MOST_STUDENTS:
            raise NotAllowed(f"the class has {MOST_STUDENTS} names already; ask the teacher to free some")
        return _write(runs, now.changed(students={**now.students, name: secrets.token_hex(8)}))


def free_name(runs: Path, name: str) -> None:
    """Lets a name be taken anew: by its student in another browser. What is theirs stays theirs. Raises StoreError."""
    with _changing(runs):
        now = _read_file(_file(runs))
        if name not in now.students:
            raise StoreError(f"the class has no student {name!r}; there are {', '.join(now.students) or 'none'}")
        _write(runs, now.changed(students={each: word for each, word in now.students.items() if each != name}))


def checked_student(name: str) -> str:
    """A student's name, in one way of writing. Raises NotAllowed if it cannot be one."""
    name = " ".join(unicodedata.normalize("NFC", name).split())
    try:
        if len(name) > LONGEST_STUDENT or not any(letter.isalnum() for letter in name):
            raise ValueError
        name = checked_name(name)
    except (ConfigError, ValueError):
        raise NotAllowed(f"a name has 1 to {LONGEST_STUDENT} characters, a letter or digit among them") from None
    if _alike(name) == _alike(Role.TEACHER):
        raise NotAllowed("there is one teacher only; choose another name")
    return name


def _alike(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _new() -> Class:
    def letters(count: int) -> str:
        return "".join(secrets.choice(LETTERS) for _ in range(count))

    keys = {"key": secrets.token_hex(16), "name_key": secrets.token_hex(16)}
    return Class(class_code=letters(CLASS_LETTERS), teacher_code=letters(TEACHER_LETTERS), **keys)


def _file(runs: Path) -> Path:
    return runs / ".class" / "class.json"


@contextmanager
def _changing(runs: Path) -> Iterator[None]:
    """One at a time, of all processes."""
    folder = _file(runs).parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(folder / "lock", mode=0o600)
        lock.acquire(timeout=10)
    except (OSError, TimeoutError) as error:
        raise StoreError(f"{folder} cannot be written ({error}); check the folder's permissions") from error
    try:
        yield
    finally:
        lock.release()


def _write(runs: Path, changed: Class) -> Class:
    with replacing(_file(runs), mode=0o600) as stream:
        stream.write(changed.to_bytes())
    return changed


def _read_file(file: Path) -> Class:
    try:
        return Class.read(file)
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read ({error}); mend it, or remove it and hand out new codes") from error


def _signer(key: str, what: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(key, salt=what)


def _read(signer: URLSafeTimedSerializer, ticket: str | None):
    """What a ticket says; None if it is not of this lab, or too old."""
    try:
        return signer.loads(ticket or "", max_age=TICKET_SECONDS)
    except BadData:
        return None
