"""Without the warnings of libraries: they have one for each value that isn't quite as their standard wants it."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

# Python's filters are those of the process: threads that enter and leave in turn would restore each other's, so the
# first one in sets them aside and the last one out brings them back
_lock = threading.Lock()
_aside = contextlib.ExitStack()
_inside = 0


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warning is shown or raised while a thread is inside; what matters is handled there."""
    global _inside
    with _lock:
        if _inside == 0:
            _aside.enter_context(warnings.catch_warnings(action="ignore"))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _aside.close()
