"""One writer a folder: a lock that the system lets go when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from modalhash.index.store import StoreLocked

FILE = "writer.lock"


class WriterLock:
    """The right to write in a folder, until `release` or the end of the process; StoreLocked names the holder.

    What a dead writer wrote into the file does not matter: the lock itself is the system's, on the open file.
    """

    def __init__(self, folder: Path) -> None:
        import fcntl

        self.handle = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self.handle, 100, 0).decode("ascii", "replace").strip() or "another process"
            os.close(self.handle)
            message = f"{folder}: is being written by {holder}; read_only=True reads beside it"
            raise StoreLocked(errno.EAGAIN, message) from error
        except BaseException:
            os.close(self.handle)
            raise
        with contextlib.suppress(OSError):  # who it is only serves the message; a full disk must not matter
            os.ftruncate(self.handle, 0)
            os.pwrite(self.handle, f"process {os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let another writer in."""
        os.close(self.handle)
