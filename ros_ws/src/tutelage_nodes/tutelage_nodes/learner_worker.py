"""The thread that learns: it takes what the node has received, makes update after update, and saves at the end."""

from __future__ import annotations

import queue
import threading

from policies.hil_serl.learner_report import LearnerReport
from policies.hil_serl.stream_learner import StreamLearner

INBOX = 512
"""Steps that wait for the thread; more are not taken, and come again."""

AT_ONCE = 64
"""Steps that are taken between two updates at most."""

PAUSE_S = 0.01
"""How long a thread without work waits for a step [s]."""


class LearnerWorker:
    """Runs a `StreamLearner` in a thread of its own, the only one that touches it."""

    def __init__(self, learner: StreamLearner) -> None:
        """Work on `learner` once started."""
        self._learner = learner
        self._inbox: queue.Queue[bytes] = queue.Queue(INBOX)
        self._over = threading.Event()
        self._report_wanted = threading.Event()
        self._report = learner.report()
        self._thread = threading.Thread(target=self._run, name="learner", daemon=True)
        self.error: Exception | None = None
        """What ended the thread; None while all is well."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def offer(self, data: bytes) -> bool:
        """Hand over a step; return False if there is no room for it now."""
        try:
            self._inbox.put_nowait(data)
        except queue.Full:
            return False
        return True

    def report(self) -> LearnerReport:
        """Return the newest report, and ask for a newer one."""
        self._report_wanted.set()
        return self._report

    def stop(self) -> None:
        """End after the update under way, take what has come, and save."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        learnt = False
        try:
            while not self._over.is_set():
                self._take(0.0 if learnt else PAUSE_S)
                learnt = self._learner.work()
                if self._report_wanted.is_set():
                    self._report_wanted.clear()
                    self._report = self._learner.report()
            self._take(0.0)
            self._learner.close()
        except Exception as error:  # the node's own thread raises it
            self.error = error

    def _take(self, patience_s: float) -> None:
        """Take what has come; wait for the first step for so long [s]."""
        try:
            for _ in range(AT_ONCE):
                self._learner.take(self._inbox.get(timeout=patience_s) if patience_s else self._inbox.get_nowait())
                patience_s = 0.0
        except queue.Empty:
            return
