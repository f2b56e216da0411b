"""Browser sessions whose connection is gone: kept for a while so that a lost network costs nothing, but never too many.

Streamlit keeps 128 of them and leaves it to the garbage collector to close the three files that each holds open. A
process that may open 256 files comes to its end within two hundred page loads.
"""

import time
from collections import OrderedDict

from streamlit import config, runtime
from streamlit.runtime.session_manager import SessionInfo, SessionStorage

_SHARE = 10  # of the files that the process may open; a session holds three, so that most are for those who are here
MOST = 128


def bound(files: int) -> None:
    """Makes the server that runs in this process keep no more sessions than so many open files allow."""
    most = max(1, min(MOST, files // _SHARE))
    kept = Kept(most, config.get_option("server.disconnectedSessionTTL"))
    runtime.get_instance()._session_mgr._session_storage = kept


class Kept(SessionStorage):
    """Up to `most` sessions, each for so many `seconds`; one that is dropped closes its files at once."""

    def __init__(self, most: int, seconds: float):
        self._most, self._seconds = most, seconds
        self._held: OrderedDict[str, tuple[float, SessionInfo]] = OrderedDict()  # oldest first, with its time

    def get(self, session_id: str) -> SessionInfo | None:
        """The session, if it is still kept."""
        self._drop_old()
        return self._held[session_id][1] if session_id in self._held else None

    def save(self, session_info: SessionInfo) -> None:
        """Keeps a session from now on."""
        self._held.pop(session_info.session.id, None)
        self._held[session_info.session.id] = time.monotonic(), session_info
        self._drop_old()

    def delete(self, session_id: str) -> None:
        """Forgets a session that is used again, or closed by whoever asks."""
        del self._held[session_id]

    def list(self) -> list[SessionInfo]:
        """Those that are kept."""
        self._drop_old()
        return [info for _, info in self._held.values()]

    def _drop_old(self) -> None:
        while self._held:
            name, (since, info) = next(iter(self._held.items()))
            if len(self._held) <= self._most and time.monotonic() - since < self._seconds:
                return
            del self._held[name]
            info.session.shutdown()
