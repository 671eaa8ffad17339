"""Running other programs, with their output in a log file that a failure can be traced to."""

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

LOG_TAIL_LINES = 15

_children: set[subprocess.Popen] = set()
_children_lock = threading.Lock()
_interrupted = threading.Event()


class ToolError(Exception):
    """Something could not be installed or built.

    `advice` says what the person can do about it, `log` is the file with the whole output, if there is one.
    """

    def __init__(self, message: str, *, advice: str = "", log: Path | None = None):
        super().__init__(message)
        self.advice = advice
        self.log = log


def run(
    command, *, log: Path, cwd=None, env=None, timeout: float | None = None, advice: str = "", name: str = ""
) -> None:
    """Runs `command` (a list) and appends it and its output to `log`; errors call it `name`, else by its program.

    Raises ToolError when it cannot be started, exits other than 0, or takes longer than `timeout` seconds; its
    whole process group is ended then.
    """
    command = [str(part) for part in command]
    name = name or Path(command[0]).name
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out:
        out.write(f"$ {' '.join(command)}\n")
        out.flush()
        try:
            child = subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        except OSError as error:
            raise ToolError(f"cannot start {name}: {error}", advice=advice, log=log) from error
        code = _wait(child, name, timeout, log, advice)
    if code != 0:
        raise ToolError(f"{name} failed with exit code {code}", advice=advice, log=log)


def _wait(child: subprocess.Popen, name: str, timeout: float | None, log: Path, advice: str) -> int:
    with _children_lock:
        _children.add(child)
    try:
        return child.wait(timeout)
    except subprocess.TimeoutExpired as error:
        end_group(child)
        raise ToolError(f"{name} took longer than {timeout:.0f} s", advice=advice, log=log) from error
    finally:
        with _children_lock:
            _children.discard(child)


def interrupt_on_signals() -> None:
    """Makes a termination or a lost terminal end this process as an interrupt from the keyboard does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def end_all() -> None:
    """Ends everything that `run` has started and that still runs: for an interrupt from the keyboard."""
    _interrupted.set()
    with _children_lock:
        children = list(_children)
    for child in children:
        end_group(child)


def interrupted() -> bool:
    """Whether `end_all` was called, so that what fails now has not failed by itself."""
    return _interrupted.is_set()


def end_group(child: subprocess.Popen) -> None:
    """Ends a process started with `start_new_session=True` and all that it started."""
    try:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    except ProcessLookupError:
        child.wait()


def capture(command, *, cwd=None, env=None, timeout: float = 120) -> str:
    """Returns the standard output of a short command; raises ToolError with its standard error when it fails."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"cannot run {command[0]}: {error}") from error
    if done.returncode != 0:
        raise ToolError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Returns the last lines of a log, indented for printing below an error."""
    try:
        text = log.read_text(errors="replace")
    except OSError as error:
        return f"    (cannot read {log}: {error})"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def which(name: str, path: str | None = None) -> str | None:
    """Returns the path of the command `name`, or None."""
    return shutil.which(name, path=path)
