"""The law of imports, as data and one function: which room may import which, and which library belongs to whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LEVELS: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            ("cli",),
            ("app", "doctor"),
            ("data_folder", "open_files", "processes"),
            ("simulators",),
            ("hl7", "dicom", "web"),
            ("workflow",),
            ("site",),
            ("store", "mapping", "archive"),
            ("dataset", "domain", "hl7v2"),
            (
                "accepting", "certificate_dates", "clock", "log", "memory_budget", "places", "service", "settings",
                "tally", "tls", "whole_file",
            ),
            ("errors", "health_client", "line_writer", "owner_only"),
            ("visible",),
        ),
    )
)
"""From the top of the house to its ground. A room imports from levels below its own, never from its own level."""

GROUND = frozenset({"errors", "clock", "health_client", "log", "settings", "service", "tls", "visible"})
ONLY: Mapping[str, frozenset[str]] = {"domain": frozenset({"errors"}), "simulators": GROUND}
"""Rooms that may import less than what lies below: rules stay pure; simulators meet the broker over the wire only."""

EVERYWHERE = frozenset().union(*LEVELS)
LIBRARIES: Mapping[str, frozenset[str]] = {
    "sqlalchemy": frozenset({"store"}),
    "alembic": frozenset({"store"}),
    "psycopg": frozenset({"store"}),
    "pynetdicom": frozenset({"dicom", "simulators"}),
    "hl7": frozenset({"hl7", "simulators"}),
    "hl7apy": frozenset({"hl7v2", "simulators"}),
    "pydicom": frozenset({"dataset", "mapping", "dicom", "archive", "web", "simulators"}),
    "pydantic": frozenset({"site"}),
    "starlette": frozenset({"web"}),
    "prometheus_client": frozenset({"web"}),
    "uvicorn": frozenset({"web"}),
    "typer": frozenset({"cli"}),
    "rich": frozenset({"cli", "simulators"}),
    "structlog": EVERYWHERE
    - {"certificate_dates", "clock", "dataset", "domain", "errors", "hl7v2", "memory_budget", "places"}
    - {"health_client", "line_writer", "owner_only", "service", "settings", "tls", "visible", "whole_file"},
}


@dataclass(frozen=True)
class Import:
    """One import: the module it stands in, its line, the name it takes."""

    module: str
    line: int
    name: str


def breaches(package: Path) -> list[str]:
    """Everything in a package folder that breaks the law of imports, as sentences; empty when all is well."""
    modules = {_module_name(package, file): file for file in sorted(package.rglob("*.py"))}
    imports = [one for name, file in modules.items() for one in imports_of(name, file)]
    found = [said for one in imports for said in _judge(package.name, one)]
    return found + _circles(package.name, modules, imports)


def imports_of(module: str, file: Path) -> Iterator[Import]:
    """All imports of a file, also those inside functions, and those made by name."""
    is_package = file.name == "__init__.py"
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(module, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, is_package, node)
            yield from (Import(module, node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            yield Import(module, node.lineno, "importlib.import_module")


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _base(module: str, is_package: bool, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".") if is_package else module.split(".")[:-1]
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


def _module_name(package: Path, file: Path) -> str:
    parts = [package.name, *file.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _judge(package: str, one: Import) -> Iterator[str]:
    top, room = one.name.split(".")[0], _room(one.module)
    where = f"{one.module}:{one.line} imports {one.name}"
    if one.name == "importlib.import_module":
        yield f"{where}: imports are written as imports"
    elif top == package:
        yield from _judge_room(where, room, _room(one.name))
    elif top not in sys.stdlib_module_names and room not in LIBRARIES.get(top, ()):
        yield f"{where}: {top} is not for {room or package}"


def _judge_room(where: str, room: str, target: str) -> Iterator[str]:
    if target == room or target not in EVERYWHERE:  # a name of the package itself, such as its version
        return
    if room not in EVERYWHERE:
        yield f"{where}: the room {room or 'of the package'} has no place in the house"
    elif _level(target) == _level(room):
        yield f"{where}: sideways"
    elif _level(target) < _level(room):
        yield f"{where}: upwards"
    elif target not in ONLY.get(room, EVERYWHERE):
        yield f"{where}: {room} may not know {target}"


def _level(room: str) -> int:
    return next(number for number, rooms in enumerate(LEVELS) if room in rooms)


def _circles(package: str, modules: Mapping[str, Path], imports: list[Import]) -> list[str]:
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for one in imports:
        target = one.name if one.name in modules else one.name.rpartition(".")[0]
        if target in modules and target not in (one.module, package):
            graph[one.module].add(target)
    found, done = [], set()
    for start in graph:
        if start not in done and (circle := _walk(graph, start, done)):
            found.append("circle: " + " -> ".join(circle))
    return found


def _walk(graph: Mapping[str, set[str]], start: str, done: set[str]) -> list[str]:
    """Depth first from `start`; the first circle met, closed, or nothing."""
    path: list[str] = []
    stack = [(start, iter(sorted(graph[start])))]
    path.append(start)
    while stack:
        module, targets = stack[-1]
        for target in targets:
            if target in path:
                done.update(path)
                return [*path[path.index(target) :], target]
            if target not in done:
                path.append(target)
                stack.append((target, iter(sorted(graph[target]))))
                break
        else:
            stack.pop()
            done.add(path.pop())
    return []
