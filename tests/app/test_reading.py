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
        writer.steps.add(step(1), 9.9)
        assert pace() == 2
        writer.steps.add(step(2), 10.1)
        assert pace() == 5
        writer.update(status="pausing")
        assert pace() == 2
        writer.update(status="running")
        (writer.folder / "steps.csv").write_text("epoch,step,seconds,loss\n1,1,soon,small\n")
        assert pace() == 2
    assert pace() is None


def test_a_drawing_is_shared_within_a_second_of_training_and_made_anew_when_files_of_an_ended_run_change(
    tiny, digits, tmp_path, monkeypatch
):
    with writing.create(tiny, digits, tmp_path) as writer:
        writer.update(status="running")
        for now, moment in ((7.1, 7), (7.9, 7), (8.0, 8)):
            monkeypatch.setattr("app.reading.time.monotonic", lambda now=now: now)
            assert reading.moment(store.read(writer.folder)) == ("running", moment)
        writer.steps.add(step(1), 1.0)
    before = reading.moment(store.read(writer.folder))
    assert reading.moment(store.read(writer.folder)) == before
    with open(writer.folder / "steps.csv", "a") as file:
        file.write("1,2,2.0,0.5\n")
    assert reading.moment(store.read(writer.folder)) != before
