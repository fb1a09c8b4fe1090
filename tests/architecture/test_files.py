"""Files stay short and say what they are for; nothing of a developer's machine is in them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_OURS = {".git", ".venv", "data", "build", "dist", "node_modules", "__pycache__"}
MOST_LINES = 400
MOST_FUNCTION_LINES = 60

# Written in pieces, so that this file does not find itself.
INDEX_ADDRESS = re.compile("pypi[.]" + "org|pythonhosted[.]" + "org|--(extra-)?index-" + "url|/simple" + "/")
OWN_PATH = re.compile(r"(?<![\w.<])/(home|users|root|work)" + "/[a-z]", re.IGNORECASE)


def files_of_ours() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden_cache = any(part in NOT_OURS or part.endswith(("_cache", ".egg-info")) for part in parts)
        if path.is_file() and not hidden_cache and ".hypothesis" not in parts:
            yield path


def python_files() -> list[Path]:
    return [path for path in files_of_ours() if path.suffix == ".py"]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_python_file_begins_with_a_docstring() -> None:
    silent = [name_of(path) for path in python_files() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]

    assert silent == []


def test_no_file_of_the_broker_is_longer_than_the_limit() -> None:
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in (ROOT / "broker").rglob("*.py")}

    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_no_function_of_the_broker_is_longer_than_the_limit() -> None:
    long = []
    for path in (ROOT / "broker").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MOST_FUNCTION_LINES:
                    long.append(f"{name_of(path)} {node.name}: {length}")

    assert long == []


def test_no_file_holds_a_package_index_address_or_a_path_of_one_machine() -> None:
    found = []
    for path in files_of_ours():
        text = path.read_bytes().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if INDEX_ADDRESS.search(line) or OWN_PATH.search(line):
                found.append(f"{name_of(path)}:{number}")

    assert found == []


def test_constraints_hold_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()

    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
