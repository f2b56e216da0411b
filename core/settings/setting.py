"""What a setting is: label, help, bounds and unit, carried by the annotation of its field, and how it is checked."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from core.settings.choices import ARCHITECTURES, OBJECTIVES

LIST = tuple[int, ...]  # the type of settings that are lists
IDS = tuple[str, ...]  # and of those that name images
_LONGEST_ID = 255  # characters, as of a file name


class ConfigError(ValueError):
    """A setting that cannot be used: `reason` says what to change, `setting` which one it is, if it is one."""

    def __init__(self, reason: str, setting: str = ""):
        super().__init__(f"{setting}: {reason}" if setting else reason)
        self.reason = reason
        self.setting = setting


def always(_values: dict) -> bool:
    """The condition of a setting that has an effect whatever the others are."""
    return True


def only(name: str, *wanted) -> Callable[[dict], bool]:
    """The condition that the setting `name` has one of these values."""
    return lambda values: values[name] in wanted


def of_architecture(name: str) -> Callable[[dict], bool]:
    """The condition that the architecture takes the setting `name`."""
    return lambda values: name in ARCHITECTURES[values["architecture"]].settings


def of_objective(name: str) -> Callable[[dict], bool]:
    """The condition that the objective takes the setting `name`."""
    return lambda values: name in OBJECTIVES[values["objective"]].settings


@dataclass(frozen=True)
class Setting:
    """What a form and a command line need to know about a setting: the annotation of its field.

    `low` and `high` are inclusive and, of a list, for each item; `step` is what a click on + adds. `when` takes the
    values of all settings and says whether this one has an effect; otherwise it is ignored and forms do not show it.
    Name, type and default are those of the field, see core/settings/config.py: `settings`.
    """

    label: str
    help: str
    group: str
    low: float | None = None
    high: float | None = None
    step: float = 1
    unit: str = ""
    items: tuple[int, int] = (0, 1000)  # the fewest and the most of a list
    too_many: str = "are too many"
    choices: dict[Any, str] | None = None
    when: Callable[[dict], bool] = always
    rare: bool = False  # few need it: the form folds it away
    name: str = ""
    type: Any = None
    default: Any = None

    def __get_pydantic_core_schema__(self, kind: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(lambda value: self.checked(value, kind))

    def checked(self, value: Any, kind: Any = None) -> Any:
        """`value` in the type of the setting, or in `kind`. Raises ValueError with the reason."""
        kind = kind or self.type
        if self.choices:
            if type(value) is not kind or value not in self.choices:  # True and 3.0 equal a choice, but are none
                raise ValueError(f"{value!r} is not one of {', '.join(map(str, self.choices))}")
            return value
        if kind == LIST:
            return self._checked_list(value)
        if kind == IDS:
            return self._checked_ids(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
            raise ValueError(f"{value!r} is not a number")
        if kind is int and value != int(value):
            raise ValueError(f"{value!r} is not a whole number")
        return kind(self._within_bounds(value))

    def _checked_list(self, value: Any) -> tuple[int, ...]:
        fewest, most = self.items
        is_list = isinstance(value, list | tuple) and all(type(item) is int for item in value)
        if not is_list or len(value) < fewest:
            raise ValueError(f"{value!r} is not a list of whole numbers, e.g. 2,2,4,16")
        if len(value) > most:
            raise ValueError(f"{len(value)} {self.too_many}; use at most {most}")
        return tuple(map(self._within_bounds, value))

    def _checked_ids(self, value: Any) -> tuple[str, ...]:
        """Each id once and in one order, so that the same images are the same setting."""
        if not isinstance(value, list | tuple) or not all(type(item) is str for item in value):
            raise ValueError(f"{value!r} is not a list of ids")
        if unfit := [item for item in value if not item.isprintable() or not 0 < len(item.strip()) <= _LONGEST_ID]:
            raise ValueError(f"{unfit[0][:40]!r} is not an id")
        if len(set(value)) > self.items[1]:
            raise ValueError(f"{len(set(value))} {self.too_many}; use at most {self.items[1]}")
        return tuple(sorted(set(value)))

    def _within_bounds(self, value: float) -> float:
        if not self.low <= value <= self.high:
            raise ValueError(f"{value} is out of bounds; use {self.low} to {self.high}")
        return value


class Settings(BaseModel):
    """What all settings share: frozen, checked when made, and any refusal is a ConfigError that names its setting."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    preset: str = "custom"  # the recipe it started from; what was changed since is in the other fields

    def __init__(self, **values):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _refusal(error) from None

    def changed(self, **changes) -> Self:
        """The same settings with other values, checked."""
        return type(self)(**dict(self) | changes)

    def plain(self) -> dict[str, Any]:
        """Plain values that JSON can hold; the constructor takes them back."""
        return self.model_dump(mode="json")


def _refusal(error: ValidationError) -> ConfigError:
    """What pydantic found first, in our words; names that are no setting before all else."""
    found = error.errors(include_url=False)
    if unknown := sorted(str(each["loc"][0]) for each in found if each["type"] == "extra_forbidden"):
        return ConfigError(f"unknown setting {', '.join(unknown)}: written by a newer version of the lab?")
    first = found[0]
    raised = first.get("ctx", {}).get("error")
    if isinstance(raised, ConfigError):  # of settings that contradict each other
        return raised
    return ConfigError(str(raised or first["msg"]), str(first["loc"][0]))
