"""How much of the memory uploaded files may take: Streamlit holds each until it is taken in, or its page is left.

What is too much is refused by its announced length, before any of it is read. Streamlit writes what arrives to the
disk, and takes the file into memory when it is complete.
"""

from collections import Counter

from starlette.datastructures import Headers
from streamlit.runtime import Runtime

from core import places
from core.classroom import codes
from core.classroom.limits import MEGABYTE, LimitReached, check_upload
from core.classroom.roles import Actor, Role

PATH = "/_stcore/upload_file"
FILES = 2  # of the largest size that a student may have in the lab's memory: a run and a data set, in any windows
ALL_MEGABYTES = 600  # of all students
_AROUND = 4096  # bytes of a form around its file


class Gate:
    """Lets uploads in as long as there is room."""

    def __init__(self, held=None):
        self._held = held or _held  # bytes in memory by browser session
        self._whose: dict[str, str] = {}  # by browser session
        self._coming: Counter[str] = Counter()  # bytes that are being sent, by student

    async def through(self, app, scope, receive, send, actor: Actor) -> tuple[int, str] | None:
        """Hands an upload on, or says with which status and words it is refused. Raises StoreError."""
        length = Headers(scope=scope).get("content-length", "")
        if actor.role != Role.STUDENT or scope["method"] != "PUT":
            await app(scope, receive, send)
            return None
        if not (length.isascii() and length.isdecimal()):
            return 411, "say how long the file is"
        size = int(length)
        if refused := self._refusal(size, actor.name):
            return refused
        self._whose[_session(scope)] = actor.name
        self._coming[actor.name] += size
        try:
            await app(scope, receive, send)
        finally:
            self._coming[actor.name] -= size
        return None

    def _refusal(self, size: int, owner: str) -> tuple[int, str] | None:
        limits = codes.read(places.runs_folder()).limits
        try:
            check_upload(limits, size - _AROUND)
        except LimitReached as error:
            return 413, str(error)
        held = self._held()
        self._whose = {session: name for session, name in self._whose.items() if session in held}
        mine = sum(held[session] for session, name in self._whose.items() if name == owner) + self._coming[owner]
        if mine + size > FILES * limits.upload * MEGABYTE:
            return 429, "you have sent other files that were not taken in; close their pages, wait a minute, try again"
        if sum(held.values()) + self._coming.total() + size > ALL_MEGABYTES * MEGABYTE:
            return 503, "many files are being taken in just now; try again in a minute"
        return None


def _session(scope) -> str:
    return scope["path"].removeprefix(PATH).strip("/").partition("/")[0]


def _held() -> dict[str, int]:
    """Bytes of uploaded files in Streamlit's memory, by browser session."""
    if not Runtime.exists():
        return {}
    storage = Runtime.instance().uploaded_file_mgr.file_storage
    return {session: sum(len(file.data) for file in files.values()) for session, files in list(storage.items())}
