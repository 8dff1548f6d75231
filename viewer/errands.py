"""Work that must keep neither the window nor the renderer waiting: reading and writing files.

A second thread does it; what comes of it is handed over on the window's thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from viewer.handover import drain, one_line

T = TypeVar("T")


class Errands:
    """A thread that runs errands one after the other. Its methods are for the window's thread."""

    def __init__(self, announce: Callable[[], None]) -> None:
        """announce:  called from the thread when an errand is done; wakes the window"""
        self._announce = announce
        self._wanted: SimpleQueue[Callable[[], Callable[[], None]] | None] = SimpleQueue()
        self._done: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="errands", daemon=True)
        self._thread.start()

    def run(
        self, work: Callable[[], T], then: Callable[[T], None], failed: Callable[[str], None]
    ) -> None:
        """Have something done; returns at once.

        work:    runs on the errands' thread
        then:    gets its result on the window's thread, in `deliver`
        failed:  likewise gets the error, in one line
        """

        def errand() -> Callable[[], None]:
            try:
                result = work()
            # Whatever is wrong with a file must not end the window.
            except Exception as error:
                message = one_line(error)
                return lambda: failed(message)
            return lambda: then(result)

        self._wanted.put(errand)

    def deliver(self) -> None:
        """Hand over what is done."""
        for hand_over in drain(self._done):
            hand_over()

    def close(self) -> None:
        """End the thread after what it was given; a file that is being written gets complete."""
        self._wanted.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (errand := self._wanted.get()) is not None:
            self._done.put(errand())
            self._announce()
