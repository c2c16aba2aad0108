"""Threads for libraries that change the priority of whoever calls them.

As root, some libraries make the thread that calls them real-time, or threads that they start. Each thread and process
begun from such a thread inherits that: in the end a whole node, or all nodes of a graph, that nothing can interrupt.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

CAPABILITY_VERSION = 0x20080522
"""Third version of the capabilities of Linux: each set is 64 bit wide (capset(2))."""

SYS_NICE = 1 << 23
"""The capability to raise a priority (capabilities(7))."""


def in_thread_of_its_own(call: Callable[[], T]) -> T:
    """Return what `call` returns, or raise what it raises, from a thread that ends with it."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()


def never_real_time(call: Callable[[], T]) -> T:
    """Do the same in a thread that may not become real-time, nor may any that it starts, even as root."""

    def without_the_right() -> T:
        give_up_real_time()
        return call()

    return in_thread_of_its_own(without_the_right)


def give_up_real_time() -> None:
    """Take the right to raise a priority from this thread, and from those that it starts; Linux only, else nothing.

    Raises:
        OSError: Linux refuses it.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)  # 0 is this thread
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: the low halves, then the high ones
    if libc.capget(header, sets) == 0:
        for low in range(3):
            sets[low] &= ~SYS_NICE
        if libc.capset(header, sets) == 0:
            return
    code = ctypes.get_errno()
    raise OSError(code, f"cannot give up real-time priorities: {os.strerror(code)}")
