"""Bytes of a terminal, key by key and without echo, while Ctrl-C keeps its meaning."""

from __future__ import annotations

import atexit
import errno
import os
import termios

CHUNK_BYTES = 4096


class Terminal:
    """A terminal that is read without waiting; its settings come back when it is closed."""

    def __init__(self, path: str) -> None:
        """Open it.

        Raises:
            OSError: it is no terminal, or another program stands in its foreground.
        """
        self._fd: int | None = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            self._check_foreground(self._fd)
            self._before = termios.tcgetattr(self._fd)
            settings = termios.tcgetattr(self._fd)
            settings[3] &= ~(termios.ICANON | termios.ECHO)
            settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0  # so that nothing read means the end
            termios.tcsetattr(self._fd, termios.TCSANOW, settings)
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except termios.error as error:
            os.close(self._fd)
            raise OSError(f"{path} is not a terminal") from error
        except OSError:
            os.close(self._fd)
            raise
        atexit.register(self.close)

    @staticmethod
    def _check_foreground(fd: int) -> None:
        try:
            owner = os.tcgetpgrp(fd)
        except OSError:
            return  # not the terminal that controls this program: nobody's foreground matters
        if owner != os.getpgrp():
            raise OSError(errno.EIO, "the program runs in the background; start it by hand in the foreground")

    def poll(self, limit: int) -> list[bytes]:
        """Return what was typed, at most `limit` pieces.

        Raises:
            OSError: the terminal was closed.
        """
        pieces: list[bytes] = []
        while self._fd is not None and len(pieces) < limit:
            try:
                piece = os.read(self._fd, CHUNK_BYTES)
            except BlockingIOError:
                break
            if not piece:
                raise OSError(errno.EIO, "the terminal was closed")
            pieces.append(piece)
        return pieces

    def close(self) -> None:
        """Give the terminal back as it was; may be called twice."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        atexit.unregister(self.close)
        try:
            termios.tcsetattr(fd, termios.TCSANOW, self._before)
        except termios.error:
            pass  # the terminal itself is gone
        finally:
            os.close(fd)
