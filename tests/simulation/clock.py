"""Virtual time: one queue of events, tasks as greenlets, processes that freeze and die.

Nothing here reads a real clock. Shipped code that waits (on a condition, an event, a sleep) waits
in virtual time through the stand-ins below, so that a run is a function of its seed alone.
"""

from __future__ import annotations

import heapq
import types
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

EPOCH_SECONDS = 1_795_352_400.0
BOOT_SECONDS = 1_000.0
"""What a machine's monotonic clock shows when virtual time begins."""

Callback = Callable[[], Any]


class Process:
    """Tasks that live, freeze and die together; what falls due while it is frozen waits."""

    __slots__ = ("alive", "backlog", "clock_offset", "frozen", "name", "tasks")

    def __init__(self, name: str, clock_offset: float = 0.0) -> None:
        self.name = name
        self.alive, self.frozen = True, False
        self.backlog: list[Callback] = []
        self.clock_offset = clock_offset
        self.tasks: list[Task] = []

    def kill(self) -> None:
        """Ends it where it stands."""
        self.alive = False
        self.backlog.clear()
        self.tasks.clear()


class Task(greenlet):
    """One line of execution; `invocation` is the Lambda invocation it belongs to, if any."""

    process: Process | None = None
    invocation: Any = None


class Timer:
    """Something that falls due, unless it is cancelled before."""

    __slots__ = ("callback", "process")

    def __init__(self, callback: Callback | None, process: Process | None) -> None:
        self.callback, self.process = callback, process

    def cancel(self) -> None:
        """Makes it fall due without effect."""
        self.callback = None


class Loop:
    """The queue. `now` is in seconds since virtual time began."""

    def __init__(self) -> None:
        self.now = 0.0
        self.process: Process | None = None
        self.events = 0
        self._queue: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._hub = getcurrent()

    def at(self, delay: float, callback: Callback, process: Process | None = None) -> Timer:
        """Calls back after so many seconds, in the name of the process."""
        self._count += 1
        timer = Timer(callback, process)
        heapq.heappush(self._queue, (self.now + delay, self._count, timer))
        return timer

    def run_until(self, end: float) -> None:
        """Lets everything happen that falls due until then."""
        queue = self._queue
        while queue and queue[0][0] <= end:
            self.now, _, timer = heapq.heappop(queue)
            if timer.callback is not None:
                self.events += 1
                self._dispatch(timer.callback, timer.process)
        self.now = end

    def _dispatch(self, callback: Callback, process: Process | None) -> None:
        if process is not None:
            if not process.alive:
                return
            if process.frozen:
                process.backlog.append(callback)
                return
        self.process = process
        callback()

    def freeze(self, process: Process) -> None:
        """Stops a process where it stands."""
        process.frozen = True

    def thaw(self, process: Process) -> None:
        """Lets a process go on; what fell due meanwhile happens now, in its order."""
        process.frozen = False
        backlog, process.backlog = process.backlog, []
        for callback in backlog:
            self.at(0.0, callback, process)

    def spawn(self, function: Callable[[], Any], process: Process | None = None) -> Task:
        """Starts a task at the next turn of the queue."""
        task = Task(function, self._hub)
        task.process = process
        if process is not None:
            process.tasks.append(task)
        self.at(0.0, task.switch, process)
        return task

    def sleep(self, seconds: float) -> None:
        """Lets virtual time pass for the task that calls."""
        task = getcurrent()
        self.at(seconds, task.switch, task.process)  # type: ignore[attr-defined]
        self._hub.switch()

    def pause(self) -> Any:
        """Stops the task that calls until somebody switches to it."""
        return self._hub.switch()


class _Current:
    """The loop of the run in progress: the stand-ins in shipped modules find it here."""

    loop = Loop()


CURRENT = _Current()


class _Waiter:
    __slots__ = ("done", "task")

    def __init__(self) -> None:
        self.task = getcurrent()
        self.done = False

    def wake(self) -> None:
        if not self.done:
            self.done = True
            self.task.switch()


def _wait(waiters: list[_Waiter], timeout: float | None) -> None:
    loop, waiter = CURRENT.loop, _Waiter()
    waiters.append(waiter)
    timer = None
    process = waiter.task.process  # type: ignore[attr-defined]
    if timeout is not None:
        timer = loop.at(max(0.0, timeout), waiter.wake, process)
    loop.pause()
    if timer is not None:
        timer.cancel()


class Condition:
    """Stands in for `threading.Condition`: tasks take turns, so the lock is nothing."""

    def __init__(self, _lock: object = None) -> None:
        self._waiters: list[_Waiter] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, timeout: float | None = None) -> None:
        """Until it is notified, at most so long."""
        _wait(self._waiters, timeout)

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Until the predicate holds, at most so long."""
        end = None if timeout is None else CURRENT.loop.now + timeout
        while not predicate():
            left = None if end is None else end - CURRENT.loop.now
            if left is not None and left <= 0:
                return False
            self.wait(left)
        return True

    def notify_all(self) -> None:
        """Wakes everybody who waits."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done:
                CURRENT.loop.at(0.0, waiter.wake, waiter.task.process)  # type: ignore[attr-defined]


class Event:
    """Stands in for `threading.Event`."""

    def __init__(self) -> None:
        self._set = False
        self._bell = Condition()

    def set(self) -> None:
        """Sets it and wakes everybody who waits."""
        self._set = True
        self._bell.notify_all()

    def clear(self) -> None:
        """Clears it."""
        self._set = False

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Until it is set, at most so long."""
        if not self._set:
            self._bell.wait(timeout)
        return self._set


class _Thread:
    """Stands in for `threading.Thread` as a base class; `start` runs it as a task."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def start(self) -> None:
        """Starts the task in the process that calls."""
        loop = CURRENT.loop
        loop.spawn(self.run, loop.process)

    def run(self) -> None:
        """The task."""


threading = types.SimpleNamespace(
    Condition=Condition, Event=Event, RLock=object, Lock=object, Thread=_Thread
)
"""Stands in for the module `threading`."""


def _monotonic() -> float:
    return CURRENT.loop.now + BOOT_SECONDS


def _time() -> float:
    process = CURRENT.loop.process
    offset = 0.0 if process is None else process.clock_offset
    return CURRENT.loop.now + EPOCH_SECONDS + offset


def _sleep(seconds: float) -> None:
    CURRENT.loop.sleep(seconds)


time = types.SimpleNamespace(monotonic=_monotonic, time=_time, sleep=_sleep)
"""Stands in for the module `time`; the wall clock is that of the process that asks."""
