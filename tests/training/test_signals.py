"""Signals that ask a run to stop."""

import signal

import pytest

from genomenet.training import signals


@pytest.fixture
def received():
    numbers = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


def test_a_signal_that_came_too_late_for_a_block_acts_after_it(received):
    with signals.noted() as asked:
        assert asked() == 0
        signal.raise_signal(signal.SIGTERM)
        assert asked() == signal.SIGTERM
        assert received == []
    assert received == [signal.SIGTERM]


def test_an_exception_has_answered_the_signal(received):
    def run():
        with signals.noted() as asked:
            signal.raise_signal(signal.SIGTERM)
            if asked():
                raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        run()
    assert received == []


def test_the_second_signal_acts_at_once(received):
    with signals.noted():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert received == [signal.SIGTERM]
    assert received == [signal.SIGTERM] * 2


def test_no_signal_changes_nothing(received):
    with signals.noted() as asked:
        pass
    assert asked() == 0
    assert received == []
    signal.raise_signal(signal.SIGTERM)
    assert received == [signal.SIGTERM]
