"""An actor in a process of its own acts while the learner learns. A killed one is replaced, its episode run again."""

from __future__ import annotations

import contextlib
import multiprocessing
from multiprocessing.connection import Connection

from tutelage.learning.twin_actor import ActorSettings, EpisodeRun, Job, TwinActor, one_thread
from tutelage_core.errors import TutelageError

MOST_DEATHS = 5
"""Times in a row that an actor may die in one episode before that is taken for what it is: an error."""

_CLOSING_S = 5.0


class ActorError(TutelageError):
    """An actor's process refused its work, or ended again and again."""


class ActorProcess:
    """Runs a `TwinActor` beside this process; one episode at a time."""

    def __init__(self, settings: ActorSettings, name: str) -> None:
        """Start the process; it builds its twin meanwhile."""
        self.name = name
        self.restarts = 0
        """Times that the process was replaced."""
        self._settings = settings
        self._job: Job | None = None
        self._start()

    @property
    def pid(self) -> int | None:
        """Number of the process."""
        return self._process.pid

    def start(self, job: Job) -> None:
        """Have an episode run; `result` waits for it."""
        self._job = job
        self._send(job)

    def result(self) -> EpisodeRun:
        """Wait for the episode that was started, and return it.

        If the process dies, a new one runs the same episode: same seed and weights, so the same steps.

        Raises:
            ActorError: the actor refused the job, or its process died several times in a row.
        """
        job, self._job = self._job, None
        if job is None:
            raise ActorError(f"actor '{self.name}': no episode was started")
        for _ in range(MOST_DEATHS):
            try:
                answer: EpisodeRun | str = self._connection.recv()
            except (EOFError, ConnectionError):
                self._process.join()
                self.restarts += 1
                self._start()
                self._send(job)
                continue
            if isinstance(answer, str):
                raise ActorError(f"actor '{self.name}': {answer}")
            return answer
        raise ActorError(f"actor '{self.name}': its process died {MOST_DEATHS} times in the episode of seed {job.seed}")

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(_CLOSING_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(self._settings, self.name, theirs), name=self.name, daemon=True
        )
        self._process.start()
        theirs.close()

    def _send(self, job: Job) -> None:
        with contextlib.suppress(ConnectionError):  # of a process that has died: `result` finds that out
            self._connection.send(job)


def _serve(settings: ActorSettings, name: str, connection: Connection) -> None:
    one_thread()
    actor: TwinActor | None = None
    while True:
        try:
            job: Job = connection.recv()
        except (EOFError, ConnectionError):
            break
        try:
            actor = actor or TwinActor(settings, name)
            connection.send(actor.run(job))
        except TutelageError as error:
            connection.send(str(error))
    if actor is not None:
        actor.close()
