"""What run.json and label.json hold: typed, bounded, and checked whenever they are read or written.

A new field is one line here. Numbers that a result shares with a row of history.csv have the same name there and are
taken from it, see `Result.of`. Entries that this version does not know are passed over. No torch at import.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from core.dataset.loader import DataSet
from core.learning.alarms import Kind
from core.learning.states import Status
from core.runs.checks import check, checked_name, content_of, is_text
from core.settings.config import RunConfig

FORMAT = 2  # of run.json and of checkpoints; a higher number was written by a newer version
LONGEST_TEXT = 10_000  # characters of an error, an alarm or a note
MOST_SECONDS = 10**8  # three years
COLOURS = 10  # that runs are told apart by; which ones they are is the pages' business
_LARGEST_NUMBER = 2**53


def _text(text: str) -> str:
    check(is_text(text), "it cannot be shown as text")
    return text


def _known_format(number: int) -> int:
    check(number <= FORMAT, f"written by a newer version of the lab (format {number})")
    check(number == FORMAT, f"written by an old version of the lab (format {number}), whose runs are not read any more")
    return number


def _within_reason(moment: datetime) -> datetime:
    check(1970 <= moment.year <= 2100, f"{moment.year} is no year in which a run began")
    return moment


def _config(value: Any) -> RunConfig:
    if isinstance(value, RunConfig):
        return value
    check(isinstance(value, dict), "it holds no settings")
    check(is_text(value.get("preset", "")), "preset: it is no text")
    try:
        return RunConfig(**value)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"it holds no settings ({error})") from error


def _none_if_empty(value: Any) -> Any:
    return None if value == {} and isinstance(value, dict) else value


def _alarm_kind(text: str) -> str:
    check(text in ("", *Kind), f"{text!r} is no kind of alarm")
    return text


Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_text)]
AlarmKind = Annotated[str, AfterValidator(_alarm_kind)]
Share = Annotated[float, Field(ge=0, le=1)]  # a fraction
Count = Annotated[int, Field(ge=0, lt=_LARGEST_NUMBER)]
AtLeastOne = Annotated[int, Field(ge=1, lt=_LARGEST_NUMBER)]
# On the disk an empty object stands for what is not known yet
_Optional = (BeforeValidator(_none_if_empty), PlainSerializer(lambda part: part.model_dump() if part else {}))


class Record(BaseModel):
    """What all records share: types are not guessed, numbers are finite, and nothing changes once it is made."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The record in a JSON file. Raises OSError, or ValueError with the entry that is wrong."""
        return cls._parsed(content_of(file))

    @classmethod
    @lru_cache(maxsize=2048)  # a page reads every run several times a drawing
    def _parsed(cls, content: bytes) -> Self:
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise ValueError(explained(error)) from None

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """The record with these values. Raises ValueError with the entry that is wrong."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ValueError(explained(error)) from None

    def changed(self, **changes) -> Self:
        """The same record with other values, checked."""
        return self.checked(dict(self) | changes)

    def to_bytes(self) -> bytes:
        """As it is written to the disk."""
        return self.model_dump_json(indent=1).encode()


class DataFacts(Record):
    """The data set that a run learns from and is tested on."""

    folder: Text
    source: Text  # where its images are from, see core/dataset/sources.py
    description: Text
    fingerprint: Text  # SHA-256 over all images and their classes
    classes: Annotated[tuple[Text, ...], Field(min_length=1)]  # names, in the order of labels
    class_numbers: tuple[Annotated[int, Field(gt=-_LARGEST_NUMBER, lt=_LARGEST_NUMBER)], ...]  # those of the CSV
    train: AtLeastOne  # images
    test: AtLeastOne
    notes: Annotated[tuple[Text, ...], Field(max_length=100)] = ()  # what is wrong with it, core/dataset/survey.py

    @model_validator(mode="after")
    def _named_and_numbered(self) -> Self:
        check(len(self.classes) == len(set(self.class_numbers)) == len(self.class_numbers), "each class has one number")
        return self

    @classmethod
    def of(cls, data: DataSet) -> Self:
        """Those of a data set."""
        return cls(
            folder=str(data.folder),
            source=data.source,
            description=data.description,
            fingerprint=data.fingerprint,
            classes=tuple(data.classes),
            class_numbers=tuple(data.class_numbers),
            train=len(data.train.ids),
            test=len(data.test.ids),
            notes=data.notes,
        )


class MachineFacts(Record):
    """What a run was computed on."""

    device: Text  # "cpu" or "cuda"
    precision: Literal["float32", "bfloat16"]
    threads: Annotated[int, Field(ge=1, le=4096)]
    python: Text = ""  # versions
    torch: Text = ""
    processor: Text = ""  # its name; that of the GPU if there is one


class Result(Record):
    """How good a run's network is after its last evaluated epoch. Shares are fractions, of images."""

    epochs: AtLeastOne  # epochs begun
    steps: AtLeastOne  # of the last one
    train_accuracy: Share  # of the images learnt from
    validation_accuracy: Share | None = None  # None without validation images
    test_accuracy: Share
    best_test_accuracy: Share  # of all whole epochs: chosen by the test images, never the headline
    alarm: Text = ""  # what has gone wrong, with the remedy, see core/learning/alarms.py
    alarm_kind: AlarmKind = ""  # empty without an alarm, and in runs of before it was kept
    mistakes: Count  # misclassified test images

    @classmethod
    def of(cls, row: Mapping[str, Any], **others) -> Self:
        """That of a row of history.csv: fields of the same name are taken from it, the `others` are given."""
        return cls(**({name: row[name] for name in cls.model_fields if name in row} | others))


class RunRecord(Record):
    """run.json."""

    format: Annotated[int, AfterValidator(_known_format)]
    run: Text  # the id, which checkpoints name as well
    status: Annotated[Status, Field(strict=False)]  # as it was written last; store.read says what is true now
    created: Annotated[
        NaiveDatetime,
        AfterValidator(_within_reason),
        PlainSerializer(lambda moment: moment.isoformat(timespec="milliseconds")),
    ]  # local time
    config: Annotated[RunConfig, BeforeValidator(_config)]
    data: DataFacts
    machine: Annotated[MachineFacts | None, *_Optional] = None  # None until the training begins
    steps_per_epoch: Annotated[int, Field(ge=0, le=10**9)] = 0
    seconds: Annotated[float, Field(ge=0, le=MOST_SECONDS)] | None = None  # of training and evaluation, once ended
    result: Annotated[Result | None, *_Optional] = None  # None until an epoch was evaluated
    error: Text = ""  # why it failed
    diverged: bool = False  # it failed because its weights ran away
    notes: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()  # what a reader of its numbers should know
    number: Count = 0  # counts the runs of a folder in the order in which they were begun, whatever the clock says
    unchecked: bool = False  # brought in, and its numbers could not be measured here: its images are not known
    starts: Count = 0  # of its training since anything was saved: more than one where its process died
    owner: Annotated[Text, Field(max_length=60)] = ""  # the student whose run it is; empty: the teacher's

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check(self.status != Status.DAMAGED, "status damaged is never written")
        check(bool(self.result) or self.status != Status.DONE, "it is done without a result")
        if self.result:
            check(self.machine is not None, "it has a result and names no machine")
            check(self.result.epochs <= self.config.epochs, "its result is of an epoch after its last")
            check(self.result.steps <= self.steps_per_epoch, "its result is of more steps than an epoch has")
            check(self.result.mistakes <= self.data.test, "it has more mistakes than test images")
        return self


def ended_early(run) -> bool:
    """Whether its patience has ended a run, given as a RunRecord or a Run, before its last epoch."""
    return run.status == Status.DONE and run.result.epochs < run.config.epochs


class Label(Record):
    """label.json: what users say about a run."""

    name: str = ""  # empty: none given
    archived: bool = False
    colour: Annotated[int, Field(ge=0, lt=COLOURS)] | None = None  # its number among COLOURS; None: that of its id

    @field_validator("name")
    @classmethod
    def _visible(cls, name: str) -> str:
        return name and checked_name(name)


def explained(error: ValidationError) -> str:
    """The first thing that is wrong, in one line, with the name of its entry."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    reason = first["msg"].removeprefix("Value error, ")
    return " ".join((f"{place}: {reason}" if place else reason).encode(errors="replace").decode().split())
