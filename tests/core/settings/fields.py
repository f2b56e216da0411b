"""Every setting by its name, chosen classes, sizes of classes, and what is said about a refused value."""

import pytest

from core.settings import config
from core.settings.setting import ConfigError

FIELDS = {field.name: field for field in config.settings()}
CHOSEN = dict(sampling="chosen_triplets", positive_classes=(4,), negative_classes=(9,))


def error_of(call, *arguments, **options) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def sizes(*counts: int) -> dict[int, int]:
    """Classes with the numbers 10, 11, …"""
    return dict(enumerate(counts, start=10))
