"""Filters of warnings belong to the process: threads must not restore each other's."""

import threading
import warnings

import pytest

from unetseg.formats.quiet import quiet


def test_threads_that_come_and_go_in_turn_see_no_warning_and_leave_the_filters_as_they_were() -> None:
    before = list(warnings.filters)
    inside, leave = threading.Barrier(2), threading.Barrier(2)
    raised: list[Warning] = []

    def first() -> None:
        with quiet():
            inside.wait()
        leave.wait()  # it left, the other is still inside

    def second() -> None:
        with quiet():
            inside.wait()
            leave.wait()
            try:
                warnings.warn("of a library", stacklevel=1)
            except UserWarning as error:
                raised.append(error)

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not raised
    assert list(warnings.filters) == before
    with pytest.raises(UserWarning):
        warnings.warn("outside", stacklevel=1)


def test_an_error_inside_goes_out_and_the_filters_come_back() -> None:
    before = list(warnings.filters)
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert list(warnings.filters) == before
