import pytest

from mpvss_model.evaluation.timing import Stopwatch, Timings, timed_method


class Clock:
    """Shows a second more each time it is read, beside what work adds."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        self.now_s += 1.0
        return self.now_s


def test_a_stopwatch_adds_up_blocks_and_forgets_those_that_fail():
    clock = Clock()
    watch = Stopwatch(clock)
    for work_s in (0.5, 2.0):
        with watch:
            clock.now_s += work_s
    with pytest.raises(KeyError), watch:
        raise KeyError
    assert watch.laps_s == [1.5, 3.0] and watch.total_s == 4.5


def test_timings_are_medians_by_name():
    timings = Timings()
    for duration_s in (0.003, 0.001, 0.5):
        timings.add("slow", duration_s)
    assert timings.call("sum", sum, [1, 2], start=3) == 6
    assert list(timings.medians_ms()) == ["slow", "sum"]
    assert timings.medians_ms()["slow"] == pytest.approx(3.0)


def test_a_method_is_timed_within_the_block_only():
    class Worker:
        def work(self, share):
            return 1 / share

    original = Worker.work
    with timed_method(Worker, "work", Clock()) as seconds:
        assert Worker().work(2) == 0.5
        with pytest.raises(ZeroDivisionError):
            Worker().work(0)
    assert Worker.work is original and Worker().work(1) == 1
    assert seconds == [1.0, 1.0]
