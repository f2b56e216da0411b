"""Who may do what in a lab that a class shares. Whoever does something asks here first, see core/control.py."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody is in the class."""

    STRANGER = "stranger"  # has no code where viewers are not let in: sees nothing
    VIEWER = "viewer"  # has no code: looks on
    STUDENT = "student"  # has the class code: does as they like with what is theirs
    TEACHER = "teacher"  # has the teacher's code, or the computer itself: everything


class NotAllowed(PermissionError):
    """Somebody may not do what they asked for; the message says why and what to do."""


@dataclass(frozen=True)
class Actor:
    """Who asks for something. A student's `name` is unique in the class; that of the teacher is empty."""

    role: Role
    name: str = ""

    @property
    def takes_part(self) -> bool:
        """Whether there may be something of theirs."""
        return self.role == Role.TEACHER or bool(self.role == Role.STUDENT and self.name)

    def may_change(self, owner: str) -> bool:
        """Whether what belongs to `owner` may be changed; what is nobody's is the teacher's."""
        return self.role == Role.TEACHER or bool(self.takes_part and owner == self.name)

    def may_look(self) -> bool:
        """Whether anything may be looked at."""
        return self.role != Role.STRANGER

    def check_takes_part(self, what: str) -> None:
        """Raises NotAllowed unless they may do `what`, e.g. "begin a run", with something of their own."""
        if self.takes_part:
            return
        if self.role == Role.STUDENT:
            raise NotAllowed(f"choose a name first, then you can {what}: open /enter")
        raise NotAllowed(f"you look on; enter the class code at /enter to {what}")

    def check_may_change(self, owner: str, what: str) -> None:
        """Raises NotAllowed unless they may do `what`, e.g. "stop this run", with something of `owner`."""
        self.check_takes_part(what)
        if not self.may_change(owner):
            raise NotAllowed(f"only {owner or 'the teacher'}{' or the teacher' * bool(owner)} can {what}")

    def check_teacher(self, what: str) -> None:
        """Raises NotAllowed unless it is the teacher."""
        if self.role != Role.TEACHER:
            raise NotAllowed(f"only the teacher can {what}")


TEACHER = Actor(Role.TEACHER)  # also who sits at the computer itself, and the command line
VIEWER = Actor(Role.VIEWER)
STRANGER = Actor(Role.STRANGER)
