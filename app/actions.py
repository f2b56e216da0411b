"""What buttons do: begin, pause, stop, rename, …; and what went wrong, in one place."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import access, crowd, reading, session
from core import control, places, race
from core.classroom import codes
from core.classroom.codes import Class
from core.dataset import sources
from core.dataset.loader import DataError
from core.exchange.deleted import Deleted
from core.runs.files import StoreError
from core.runs.notes import Note
from core.runs.store import Run
from core.settings.config import RunConfig
from core.settings.setting import ConfigError


def act(place: str, what: tuple, action: Callable[[], str | None]) -> None:
    """Does what a button asks for, once: the second click of a double click, which says `what` again, does nothing.

    The run whose id `action` returns is then the one that the pages look at. What went wrong is kept for `refused`.
    """

    def tried() -> str | None:
        session.remember("refused", None)
        try:
            return action()
        except (ConfigError, DataError, StoreError, OSError, RuntimeError) as error:
            session.remember("refused", (place, error))
            return None
        finally:
            crowd.forget()

    session.once(what, tried)


def refused(place: str) -> Exception | None:
    """The error why the last action at this place of a page could not be done; until another one is tried."""
    where, error = session.recall("refused") or (None, None)
    return error if where == place else None


def begin(config: RunConfig) -> str:
    """Puts a new run on the data set in use into the queue and returns its id."""
    return control.begin(config, reading.data_set(), places.runs_folder(), actor=access.actor())


def resume(run: Run, add_epochs: int = 0) -> None:
    """Puts a run that has ended back into the queue, on the images that it was trained on."""
    control.resume(run, reading.images_of(run), add_epochs, actor=access.actor())


def one_step(run: Run) -> None:
    """Trains a paused run for a single batch."""
    control.one_step(run, reading.images_of(run), actor=access.actor())


def pause(run: Run) -> None:
    """Saves a run at its next step and lets go of it, or takes it out of the queue, in whatever process it is."""
    control.pause(run, actor=access.actor())


def stop(run: Run) -> None:
    """Ends a run at its next step, or takes it out of the queue, in whatever process it is."""
    control.stop(run, actor=access.actor())


def begin_race(preset: str, vary: dict, seeds: int, **changes) -> str:
    """Puts a race on the data set in use into the queue and returns its id."""
    return control.begin_race(
        preset, vary, seeds, reading.data_set(), places.runs_folder(), actor=access.actor(), **changes
    )


def resume_race(held: race.Race) -> None:
    """Puts the runs of a race that can go on back into the queue."""
    images = reading.images_of(reading.runs_of(held)[0])
    control.resume_race(held, images, places.runs_folder(), actor=access.actor())


def pause_all(runs: list[Run]) -> None:
    """Saves runs and lets go of them: those that wait first, or one after the other would begin."""
    for run in sorted(runs, key=lambda run: run.status != "queued"):
        with suppress(StoreError):  # it has ended meanwhile
            control.pause(run, actor=access.actor())


def stop_all(runs: list[Run]) -> None:
    """Ends runs, those that wait first."""
    for run in sorted(runs, key=lambda run: run.status != "queued"):
        with suppress(StoreError):
            control.stop(run, actor=access.actor())


def replay(run: Run) -> None:
    """Trains a run again in the background and compares; see reading.replayed."""
    control.replay(run, reading.images_of(run), actor=access.actor())


def find_rate(config: RunConfig) -> None:
    """Tests learning rates for these settings on the images in use, in the background; see reading.rate_test."""
    control.find_rate(config, reading.data_set(), actor=access.actor())


def end_rate_test(config: RunConfig) -> None:
    """Ends such a test."""
    control.end_rate_test(config, reading.data_set(), actor=access.actor())


def rename(run: Run, name: str) -> None:
    """Gives a run a name; raises ConfigError for one that is too long or not visible."""
    control.rename(run, name, actor=access.actor())


def archive(runs: list[Run], archived: bool) -> None:
    """Puts runs away, or takes them back. Raises StoreError for one that has been begun meanwhile."""
    control.archive(runs, archived, actor=access.actor())


def delete(runs: list[Run]) -> None:
    """Moves runs into the trash. Raises StoreError at the first one that is being trained."""
    control.delete(runs, actor=access.actor())


def delete_data(name: str) -> None:
    """Moves an uploaded data set into the trash. Raises StoreError."""
    control.delete_data(reading.data_sets()[name], places.runs_folder(), actor=access.actor())
    session.choose_data("")


def bring_back(one: Deleted) -> None:
    """Takes a run or a data set out of the trash. Raises StoreError."""
    control.bring_back(one, actor=access.actor())


def empty_trash(these: list[Deleted]) -> None:
    """Deletes some of what is in the trash for good. Raises StoreError."""
    control.empty_trash(these, actor=access.actor())


def pause_everybody() -> None:
    """Pauses every run that is trained or waits."""
    control.pause_everybody(places.runs_folder(), actor=access.actor())


def the_class() -> Class:
    """The class that shares this lab. Raises StoreError."""
    return codes.read(places.runs_folder())


def free_name(name: str) -> None:
    """Lets a student's name be taken anew. Raises StoreError."""
    control.free_name(places.runs_folder(), name, actor=access.actor())


def answer(run: Run, question: str, text: str) -> None:
    """Keeps the answer to a question of the sheet. Raises StoreError."""
    control.answer(run, question, text, actor=access.actor())


def note(run: Run, image: str, text: Note) -> None:
    """Keeps a note about an image. Raises StoreError."""
    control.note(run, image, text, actor=access.actor())


def prepare_data_set(progress: Callable[[str], None]) -> None:
    """Makes the data set if there is none. Raises DataError."""
    access.actor().check_teacher("prepare the data set")
    sources.prepare(places.data_folder(), "auto", progress)


def bring_in_run(file) -> str:
    """Takes in an exported run and returns its id. Raises UploadError or StoreError."""
    with _let_go(file):
        return control.bring_in_run(file, places.runs_folder(), reading.data_sets().values(), actor=access.actor())


def bring_in_data(file) -> Path:
    """Takes in a zip file of images and returns its new folder. Raises UploadError."""
    with _let_go(file):
        return control.bring_in_data(file, file.name, actor=access.actor())


@contextmanager
def _let_go(file) -> Iterator[None]:
    """Frees an uploaded file at the end: Streamlit would hold it in memory while the tab is open."""
    try:
        yield
    finally:
        if context := get_script_run_ctx():
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


def download(run: Run, kind: str) -> bytes:
    """A file of a run, see core/exchange/downloads.py. Raises UploadError or StoreError."""
    return control.download(run, kind, actor=access.actor())
