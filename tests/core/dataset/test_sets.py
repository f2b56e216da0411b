"""A set without some of its training images."""

import numpy as np
import pytest

from core.settings.setting import ConfigError


def test_images_left_out_are_gone_and_the_rest_is_as_it_was(digits):
    gone = digits.train.ids[3], digits.train.ids[20]
    part = digits.without(gone)
    rows = [row for row in range(48) if row not in (3, 20)]
    assert part.train.ids == tuple(digits.train.ids[row] for row in rows)
    assert part.train.files == tuple(digits.train.files[row] for row in rows)
    np.testing.assert_array_equal(part.train.images, digits.train.images[rows])
    np.testing.assert_array_equal(part.train.labels, digits.train.labels[rows])
    assert not part.train.images.flags.writeable
    assert part.test is digits.test
    assert (part.fingerprint, part.left_out) == (digits.fingerprint, tuple(sorted(gone)))


def test_any_part_leads_back_to_the_whole(digits):
    part = digits.without(digits.train.ids[:1])
    assert digits.without(()) is part.without(()) is digits
    assert part.without(digits.train.ids[:1]) is part
    assert part.without(digits.train.ids[1:2]).train.ids == (digits.train.ids[0], *digits.train.ids[2:])


def test_an_unknown_image_and_a_whole_class_are_refused(digits):
    with pytest.raises(ConfigError, match=r"^exclude: the set has no training image 'nobody'; an id looks like train_"):
        digits.without((digits.train.ids[0], "nobody"))
    with pytest.raises(ConfigError, match="has no training image 'test_"):
        digits.without(digits.test.ids[:1])
    with pytest.raises(ConfigError, match=r"^exclude: no training image of class digit 0 would be left; keep one"):
        digits.without(digits.train.ids[:12])
