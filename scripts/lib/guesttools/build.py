"""`just build-components`: builds the components whose inputs have changed, in parallel, and ends in a table."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from .catalogue import TITLES, Catalogue
from .component import COMPONENTS, MANIFEST, BuildRecord, Component, discover, file_digest, input_digest, load, shared_digest
from .console import Progress, colour, seconds
from .environment import guest_environment, missing_tools
from .pins import all_languages_required
from .process import ToolError, end_all, interrupt_on_signals, interrupted, run, tail

_BUILD_TIMEOUT_S = 1800
_MAGIC = b"\0asm\x0d\0\x01\0"

# Where no build was timed yet: the languages whose first build takes longest, first.
_FIRST_BUILD_S = {"zig": 50.0, "cpp": 40.0, "rust": 40.0, "c": 20.0, "python": 15.0, "go": 15.0}


@dataclass
class Outcome:
    """How one component fared: `built`, `cached`, `failed` or `skipped`."""

    component: Component
    state: str
    seconds: float = 0.0
    message: str = ""
    log: Path | None = None


def main(arguments: list[str]) -> int:
    """Runs `build-components` and returns its exit code: 0, 1 when something failed, 2 for usage."""
    parser = argparse.ArgumentParser(
        prog="build-components",
        description="Builds the components whose sources, WIT, recipe or tools have changed.",
        epilog="A component whose language has no tools is left out; with CI=true, RUNTIME_REQUIRE_ALL_LANGUAGES=1 "
        "or when it is named here, that is an error.",
    )
    parser.add_argument(
        "components", nargs="*", metavar="COMPONENT", help="an id, a name, or a folder anywhere; all in components/ if none"
    )
    parser.add_argument("--force", action="store_true", help="build even what is up to date")
    parser.add_argument("-v", "--verbose", action="store_true", help="print where each log is")
    options = parser.parse_args(arguments)
    try:
        components = _select(options.components)
    except ToolError as error:
        print(f"build-components: {error}", file=sys.stderr)
        return 2
    required = bool(options.components) or all_languages_required()
    started = time.monotonic()
    outcomes = _build_all(components, options.force)
    _print_failures(outcomes, options.verbose)
    _print_table(outcomes, time.monotonic() - started)
    failed = any(outcome.state == "failed" or (required and outcome.state == "skipped") for outcome in outcomes)
    return 1 if failed else 0


def _select(names: list[str]) -> list[Component]:
    """The components that `names` means, or all in components/."""
    if not names:
        found = [load(folder) for folder in discover()]
        if not found:
            raise ToolError(f"no {MANIFEST} in the folders of {COMPONENTS}")
        return found
    known: dict[str, Component] | None = None
    chosen: dict[Path, Component] = {}
    for name in names:
        folder = Path(name)
        if (folder / MANIFEST).is_file() and (os.sep in name or not (COMPONENTS / name).is_dir()):
            component = load(folder.resolve())
        else:
            known = _by_name() if known is None else known
            if name not in known:
                raise ToolError(f"no component {name}; there are {', '.join(sorted(key for key in known if ':' in key))}")
            component = known[name]
        chosen[component.folder] = component
    return list(chosen.values())


def _by_name() -> dict[str, Component]:
    """The components in components/ by id, by bare name and by folder."""
    names: dict[str, Component] = {}
    for folder in discover():
        component = load(folder)
        for name in (component.id, component.id.partition(":")[2], folder.name):
            names[name] = component
    return names


def _build_all(components: list[Component], force: bool) -> list[Outcome]:
    catalogue = Catalogue()
    shared = shared_digest()
    outcomes: list[Outcome] = []
    todo: list[tuple[Component, str, BuildRecord]] = []
    missing: dict[str, list[str]] = {}
    for component in components:
        inputs = input_digest(component, shared)
        record = BuildRecord(component)
        if not force and record.is_current(inputs, component.output):
            outcomes.append(Outcome(component, "cached"))
            continue
        language = component.language
        if language and language not in missing:
            missing[language] = missing_tools(language, catalogue)
        if missing.get(language):
            message = f"no tools for {TITLES[language]} ({', '.join(missing[language])}): just setup {language}"
            outcomes.append(Outcome(component, "skipped", message=message))
            continue
        todo.append((component, inputs, record))
    if todo:
        environment = {**os.environ, **guest_environment(catalogue)}
        # `[build] output` names a file below `components/`, wherever Cargo was told to put what is not a guest's.
        environment.pop("CARGO_TARGET_DIR", None)
        outcomes += _build_parallel(todo, environment)
    order = {component.folder: place for place, component in enumerate(components)}
    return sorted(outcomes, key=lambda outcome: order[outcome.component.folder])


def _build_parallel(todo: list[tuple[Component, str, BuildRecord]], environment: dict[str, str]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with Progress() as progress, ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        jobs = [pool.submit(_build_group, group, environment, progress, len(todo)) for group in _groups(todo)]
        try:
            for job in as_completed(jobs):
                outcomes += job.result()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise
    return outcomes


def _groups(todo: list[tuple[Component, str, BuildRecord]]) -> list[list[tuple[Component, str, BuildRecord]]]:
    """What is built one after the other: cargo's, which would only wait for each other's lock. Longest group first."""
    cargo = [item for item in todo if item[0].is_cargo]
    groups = [[item] for item in todo if not item[0].is_cargo] + ([cargo] if cargo else [])
    return sorted(groups, key=lambda group: -sum(map(_expected_seconds, group)))


def _expected_seconds(item: tuple[Component, str, BuildRecord]) -> float:
    component, _, record = item
    return record.seconds or _FIRST_BUILD_S.get(component.language, 5.0)


def _build_group(group, environment: dict[str, str], progress: Progress, total: int) -> list[Outcome]:
    return [_build_one(component, inputs, record, environment, progress) for component, inputs, record in group]


def _build_one(
    component: Component, inputs: str, record: BuildRecord, environment: dict[str, str], progress: Progress
) -> Outcome:
    record.forget()
    record.log.parent.mkdir(parents=True, exist_ok=True)
    record.log.write_text("")
    progress.start(component.id)
    error: ToolError | None = None
    try:
        run(
            ["sh", "-c", component.command],
            cwd=component.folder,
            env=environment,
            log=record.log,
            timeout=_BUILD_TIMEOUT_S,
            name="the build command",
        )
        _check_output(component)
    except ToolError as caught:
        error = caught
    took = progress.stop(component.id)
    if error is not None:
        if not interrupted():
            progress.line(f"  {colour('31', 'failed')}  {component.id:<24} {seconds(took)}")
        return Outcome(component, "failed", took, str(error), record.log)
    record.write(inputs, component.output, took)
    progress.line(f"  {colour('32', 'built')}   {component.id:<24} {seconds(took)}")
    return Outcome(component, "built", took, log=record.log)


def _check_output(component: Component) -> None:
    """Raises ToolError unless the build left a component where the manifest says."""
    try:
        with component.output.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise ToolError(f"the build command succeeded but left no {component.output}: {error.strerror}") from error
    if start != _MAGIC:
        what = "a core module, no component" if start[:4] == _MAGIC[:4] else "no WebAssembly"
        raise ToolError(f"{component.output} is {what}")


def _print_failures(outcomes: Iterable[Outcome], verbose: bool) -> None:
    for outcome in outcomes:
        if outcome.state == "failed":
            print(colour("31", f"\n{outcome.component.id}: {outcome.message}"), file=sys.stderr)
            print(f"  command: (cd {shlex.quote(str(outcome.component.folder))} && {outcome.component.command})", file=sys.stderr)
            if outcome.log is not None:
                print(f"  log:     {outcome.log}, which ends in\n{tail(outcome.log)}", file=sys.stderr)
        elif outcome.state == "skipped":
            print(colour("33", f"\n{outcome.component.id}: {outcome.message}"), file=sys.stderr)
        elif verbose and outcome.log is not None:
            print(f"{outcome.component.id}: {outcome.log}", file=sys.stderr)


def _print_table(outcomes: list[Outcome], elapsed: float) -> None:
    rows = [("component", "language", "size", "digest", "seconds", "")]
    for outcome in outcomes:
        component = outcome.component
        there = outcome.state in ("built", "cached")
        rows.append(
            (
                component.id,
                TITLES.get(component.language, "-"),
                _size(component.output.stat().st_size) if there else "-",
                file_digest(component.output)[:12] if there else "-",
                f"{outcome.seconds:.1f}" if outcome.state in ("built", "failed") else "-",
                outcome.state,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        cells = [
            cell.rjust(width) if column in (2, 4) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        print("  ".join(cells).rstrip())
    counts = [f"{sum(outcome.state == state for outcome in outcomes)} {state}" for state in _states(outcomes)]
    word = "component" if len(outcomes) == 1 else "components"
    print(f"\n{len(outcomes)} {word}: {', '.join(counts)} in {seconds(elapsed)}", flush=True)


def _states(outcomes: list[Outcome]) -> list[str]:
    present = {outcome.state for outcome in outcomes}
    return [state for state in ("built", "cached", "skipped", "failed") if state in present]


def _size(size: int) -> str:
    """Returns a size in bytes as people read it, in steps of 1000 as file managers show it."""
    if size < 1_000_000:
        return f"{size / 1000:.1f} kB"
    return f"{size / 1_000_000:.1f} MB"


if __name__ == "__main__":
    interrupt_on_signals()
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        os.write(2, b"\nbuild-components: interrupted; what was finished stays\n")
        os._exit(130)
