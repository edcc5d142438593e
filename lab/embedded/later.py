"""Work on other threads, at once or after a delay."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Later:
    """Runs things on threads of its own, at once or after a delay, until it is closed."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(64, "embedded-later")
        self._lock = threading.Lock()
        self._timers: set[threading.Timer] = set()
        self._closed = False

    def run(self, seconds: float, what: Callable[[], None]) -> None:
        """Run `what` after `seconds`; a failure of it is printed by the thread."""
        if seconds <= 0:
            self._submit(what)
            return

        def fire() -> None:
            with self._lock:
                self._timers.discard(timer)
            self._submit(what)

        timer = threading.Timer(seconds, fire)
        timer.daemon = True
        with self._lock:
            if self._closed:
                return
            self._timers.add(timer)
        timer.start()

    def _submit(self, what: Callable[[], None]) -> None:
        with self._lock:
            if not self._closed:
                self._pool.submit(what).add_done_callback(self._tell)

    def _tell(self, done: concurrent.futures.Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) and not self._closed:
            threading.excepthook(
                threading.ExceptHookArgs(
                    (type(error), error, error.__traceback__, threading.current_thread())
                )
            )

    def close(self) -> None:
        """Forget what has not begun."""
        with self._lock:
            self._closed = True
            timers = list(self._timers)
        for timer in timers:
            timer.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)
