"""The first signal asks, the second insists, and afterwards everything is as before."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from gridcode.training.signals import stop_requests

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_is_only_noted(number: signal.Signals) -> None:
    with stop_requests() as request:
        assert not request
        os.kill(os.getpid(), number)
        assert request
        assert request.received is number


@pytest.mark.parametrize("number", BOTH)
def test_a_second_signal_stops_at_once(number: signal.Signals) -> None:
    with stop_requests():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_sigterm_again_is_the_same_request() -> None:
    """A scheduler sends it to torchrun and to its processes, and torchrun hands it on."""
    with stop_requests() as request:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert request.received is signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back_even_after_an_error() -> None:
    before = [signal.getsignal(number) for number in BOTH]

    def fail() -> None:
        with stop_requests():
            assert [signal.getsignal(number) for number in BOTH] != before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [signal.getsignal(number) for number in BOTH] == before


def test_other_threads_leave_signals_alone() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    seen = []

    def elsewhere() -> None:
        with stop_requests() as request:
            seen.extend([bool(request), [signal.getsignal(number) for number in BOTH] == before])

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [False, True]
