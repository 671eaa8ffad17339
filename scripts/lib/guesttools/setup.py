"""`just setup`: installs what the guest languages need and is not there yet, and says what cannot be had."""

import argparse
import fcntl
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass

from . import apt
from .catalogue import ALIASES, LANGUAGES, NEEDS, TITLES, Catalogue, language_named
from .console import Progress, colour, seconds
from .environment import is_there, missing_tools
from .installers import INSTALL_ORDER, install, system_packages_for
from .pins import all_languages_required
from .process import ToolError, end_all, interrupt_on_signals, interrupted, tail

# Downloads wait for the network and compilers for the two or more cores: a few more than cores keep both busy.
_PARALLEL = 4


@dataclass
class Missing:
    """A tool that could not be had, and why."""

    name: str
    error: ToolError


def main(arguments: list[str]) -> int:
    """Runs `setup` and returns its exit code: 0, 1 if a language that is required stays without tools, 2 for usage."""
    parser = argparse.ArgumentParser(
        prog="setup",
        description="Installs the tools of the guest languages into a cache folder outside the checkout.",
        epilog="RUNTIME_TOOLCHAINS names the folder (default ~/.cache/runtime-toolchains). With CI=true or "
        "RUNTIME_REQUIRE_ALL_LANGUAGES=1 a language that cannot be had is an error.",
    )
    names = f"{', '.join(LANGUAGES)} ({', '.join(ALIASES)} too)"
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"only these, and then required: {names}")
    parser.add_argument("--tool", choices=INSTALL_ORDER, help="install this one tool, and print the folder of its commands")
    parser.add_argument("--status", action="store_true", help="print what is there and change nothing")
    options = parser.parse_args(arguments)
    languages = [language_named(word) for word in options.languages]
    if None in languages:
        parser.error(f"unknown language {options.languages[languages.index(None)]}; known are {names}")
    catalogue = Catalogue()
    if options.status:
        return _print_status(catalogue)
    if options.tool:
        return _set_up_tool(catalogue, options.tool)
    required = bool(languages) or all_languages_required()
    return _set_up(catalogue, languages or list(LANGUAGES), required)


def _set_up(catalogue: Catalogue, languages: list[str], required: bool) -> int:
    started = time.monotonic()
    with _exclusive(catalogue):
        wanted = _tools_to_install(catalogue, languages)
        missing = _install_all(catalogue, wanted) if wanted else []
    for item in missing:
        _explain(item, languages)
    unbuilt = [language for language in languages if missing_tools(language, catalogue)]
    ready = [TITLES[language] for language in languages if language not in unbuilt]
    elapsed = seconds(time.monotonic() - started)
    print(f"setup: {len(ready)} of {len(languages)} languages ready ({', '.join(ready) or 'none'}), {elapsed}", file=sys.stderr)
    if not unbuilt:
        return 0
    names = ", ".join(TITLES[language] for language in unbuilt)
    print(colour("33", f"setup: components in {names} stay unbuilt"), file=sys.stderr)
    return 1 if required else 0


def _set_up_tool(catalogue: Catalogue, name: str) -> int:
    with _exclusive(catalogue):
        missing = [] if is_there(catalogue, name) else _install_all(catalogue, [name])
    for item in missing:
        _explain(item, [])
    if missing:
        return 1
    print(catalogue[name].bin)
    return 0


@contextmanager
def _exclusive(catalogue: Catalogue):
    """Holds the cache folder, so that two checkouts do not install into it at the same time."""
    catalogue.root.mkdir(parents=True, exist_ok=True)
    with (catalogue.root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"setup: waiting for another setup that uses {catalogue.root}", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _tools_to_install(catalogue: Catalogue, languages: list[str]) -> list[str]:
    needed = {name for language in languages for name in NEEDS[language]}
    absent = [name for name in INSTALL_ORDER if name in needed and not is_there(catalogue, name)]
    return absent




def _install_all(catalogue: Catalogue, names: list[str]) -> list[Missing]:
    print(f"setup: installing {', '.join(names)} into {catalogue.root}", file=sys.stderr)
    missing: list[Missing] = []
    with Progress() as progress:
        _install_system_packages(catalogue, names, progress)
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            jobs = {pool.submit(_install_one, catalogue, name, progress): name for name in names}
            try:
                for job in as_completed(jobs):
                    error = job.result()
                    if error is not None:
                        missing.append(Missing(jobs[job], error))
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                end_all()
                raise
    return sorted(missing, key=lambda item: names.index(item.name))


def _install_system_packages(catalogue: Catalogue, names: list[str], progress: Progress) -> None:
    """Installs Debian packages that are absent. A failure is told by the tools that then cannot be installed."""
    packages = system_packages_for(names)
    if not packages:
        return
    label = f"Debian packages {' '.join(packages)}"
    progress.start(label)
    try:
        apt.install_packages(packages, catalogue.root / "logs" / "apt.log")
    except ToolError as error:
        took = progress.stop(label)
        progress.line(f"  {colour('31', 'missing')}  {label}: {error} ({error.advice})  {seconds(took)}")
        return
    progress.line(f"  {colour('32', 'ready')}    {label}  {seconds(progress.stop(label))}")


def _install_one(catalogue: Catalogue, name: str, progress: Progress) -> ToolError | None:
    place = catalogue[name]
    label = name if name in ("rust", "javascript-tools") else f"{name} {place.version}"
    progress.start(name)
    try:
        done = install(catalogue, name)
    except (ToolError, OSError) as caught:
        error = caught if isinstance(caught, ToolError) else ToolError(str(caught), log=place.log)
        took = seconds(progress.stop(name))
        if not interrupted():
            progress.line(f"  {colour('31', 'missing')}  {label}: {error}  {took}")
        return error
    progress.line(f"  {colour('32', 'ready')}    {label}: {done}  {seconds(progress.stop(name))}")
    return None


def _explain(item: Missing, languages: list[str]) -> None:
    """Says what a missing tool means and what to do about it."""
    unbuilt = [TITLES[language] for language in languages if item.name in NEEDS[language]]
    print(colour("31", f"\n{item.name} is missing: {item.error}"), file=sys.stderr)
    if item.error.advice:
        print(f"  to do:         {item.error.advice}; then `just setup` again", file=sys.stderr)
    if unbuilt:
        print(f"  stays unbuilt: components in {', '.join(unbuilt)}", file=sys.stderr)
    if item.error.log is not None:
        print(f"  log:           {item.error.log}, which ends in\n{tail(item.error.log)}", file=sys.stderr)


def _print_status(catalogue: Catalogue) -> int:
    print(f"tools in {catalogue.root}")
    for language in LANGUAGES:
        missing = missing_tools(language, catalogue)
        state = f"missing: {', '.join(missing)}" if missing else "ready"
        print(f"  {TITLES[language]:<12} {state}")
    return 0


if __name__ == "__main__":
    interrupt_on_signals()
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        os.write(2, b"\nsetup: interrupted; what was finished stays, `just setup` goes on from there\n")
        os._exit(130)
