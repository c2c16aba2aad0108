"""What was asked before, and a log of what calls cost. Both are plain JSON files; neither holds a key."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from pathlib import Path
from typing import Any

from reward_models.vlm_client.answer import Answer
from tutelage_core.clock import WallClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError


class AnswerCache:
    """Keeps the words of each good answer in a file that is named by its question's hash."""

    def __init__(self, folder: Path) -> None:
        """Keep them in `folder`.

        Raises:
            ConfigurationError: it cannot be made.
        """
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{folder}: answers cannot be kept there: {error.strerror}") from error

    def get(self, digest: str) -> str | None:
        """Return the words that answered a question; None if there are none, or they were damaged."""
        try:
            found = json.loads((self._folder / f"{digest}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        text = found.get("text") if isinstance(found, dict) and found.get("question") == digest else None
        return text if isinstance(text, str) else None

    def put(self, digest: str, model: str, text: str) -> None:
        """Keep the words that answered a question; a disk that takes nothing costs only the memory of it."""
        told = json.dumps({"question": digest, "model": model, "text": text}, indent=1)
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=self._folder) as folder:
            draft = Path(folder) / "draft.json"
            draft.write_text(told, encoding="utf-8")
            draft.replace(self._folder / f"{digest}.json")


class CallLog:
    """Appends a line of JSON for each question: when, what came of it, how long it took, what it cost."""

    def __init__(self, file: Path) -> None:
        """Append to `file`.

        Raises:
            ConfigurationError: it cannot be written.
        """
        self._lock = threading.Lock()
        self._clock = WallClock()
        self.lost = 0
        """Lines that the disk did not take; the answers were given all the same."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = file.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise ConfigurationError(f"{file}: the log of calls cannot be written: {error.strerror}") from error

    def add(self, answer: Answer, model: str, pictures: tuple[str, ...]) -> None:
        """Append what came of a question."""
        row: dict[str, Any] = {
            "time_s": round(self._clock.now_ns() / NS_PER_S, 3),
            "model": model,
            "question": answer.prompt,
            "pictures": pictures,
            "status": answer.status.value,
            "message": answer.message,
            "text": answer.text,
            "tries": answer.tries,
            "latency_s": round(answer.latency_s, 4),
            "cached": answer.cached,
            "prompt_tokens": answer.prompt_tokens,
            "answer_tokens": answer.answer_tokens,
            "usd": answer.usd,
        }
        with self._lock:
            try:
                self._file.write(json.dumps(row) + "\n")
            except OSError:
                self.lost += 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()
