"""What holds for all tests."""

import faulthandler
import sys
from collections.abc import Iterator

import pytest

LONGEST_TEARDOWN_S = 900.0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """A teardown that hangs ends the process with the stacks of its threads.

    pytest-timeout puts its clock away with a test's first failure; what is taken down after that would have none.
    """
    faulthandler.dump_traceback_later(LONGEST_TEARDOWN_S, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
