"""What the pages share, as far as it needs no page."""

from app import reading
from core.runs import store, writing
from tests.core.conftest import step


def test_a_run_is_drawn_more_rarely_later_on_and_not_at_all_when_it_has_ended(tiny, digits, tmp_path):
    with writing.create(tiny, digits, tmp_path) as writer:
        writer.update(status="running")

        def pace() -> float | None:
            return reading.pace(store.read(writer.folder))

        assert pace() == 2
        writer.steps.add(step(1), 19.9)
        assert pace() == 2
        writer.steps.add(step(2), 20.1)
        assert pace() == 5
        writer.update(status="pausing")
        assert pace() == 2
        writer.update(status="running")
        (writer.folder / "steps.csv").write_text("epoch,step,seconds,loss\n1,1,soon,small\n")
        assert pace() == 2
    assert pace() is None
