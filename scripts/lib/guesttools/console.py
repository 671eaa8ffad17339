"""Progress on standard error: a line for what has ended, and on a terminal one live line for what is running."""

import os
import sys
import threading
import time

HEARTBEAT_S = 30.0
_REFRESH_S = 0.2


def colour(code: str, text: str) -> str:
    """Returns `text` in an ANSI colour if standard error is a terminal and NO_COLOR is not set."""
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        return f"\x1b[{code}m{text}\x1b[0m"
    return text


def seconds(value: float) -> str:
    """Returns a duration as people read it: `0.4 s`, `12 s`, `2 min 05 s`."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


class Progress:
    """Shows what is running until it is closed; used as a context manager. Safe to use from several threads."""

    def __init__(self):
        self._stream = sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(self, *_exception) -> None:
        self._closed.set()
        self._thread.join()
        with self._lock:
            self._clear()

    def start(self, name: str) -> None:
        """Notes that `name` has started."""
        with self._lock:
            self._running[name] = time.monotonic()

    def stop(self, name: str) -> float:
        """Notes that `name` has ended and returns how many seconds it took."""
        with self._lock:
            return time.monotonic() - self._running.pop(name)

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        with self._lock:
            self._clear()
            print(text, file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _tick(self) -> None:
        last = time.monotonic()
        while not self._closed.wait(_REFRESH_S):
            now = time.monotonic()
            with self._lock:
                running = ", ".join(f"{name} {seconds(now - since)}" for name, since in self._running.items())
                if self._live and running:
                    width = self._columns() - 1
                    self._stream.write("\r\x1b[K" + f"  … {running}"[:width])
                    self._stream.flush()
                elif running and now - last >= HEARTBEAT_S:
                    last = now
                    print(f"  … still running: {running}", file=self._stream, flush=True)

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns
        except OSError:
            return 80
