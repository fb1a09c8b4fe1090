"""The queue of who writes an SQLite file: one at a time, whatever happens to the lock file or to who waits."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.errors import DatabaseUnavailable
from broker.store.write_lock import WriteLock

WAIT = 10.0  # seconds, for what must happen soon
ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from broker.store.write_lock import WriteLock
with WriteLock(Path(sys.argv[1])).held(10):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "write.lock"


@pytest.fixture
def locks(path: Path) -> Iterator[list[WriteLock]]:
    """Three locks on one file, as three processes have them: the kernel tells their open files apart."""
    made = [WriteLock(path) for _ in range(3)]
    yield made
    for lock in made:
        lock.close()
    for thread in waiters():
        thread.join(WAIT)


def is_free(lock: WriteLock) -> bool:
    """It is given to who waits for it."""
    with lock.held(WAIT):
        return True


def is_taken(lock: WriteLock) -> bool:
    """Who waits a moment waits in vain."""
    try:
        with lock.held(0.02):
            return False
    except DatabaseUnavailable:
        return True


def waiters() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "write-lock"]


def test_two_processes_exclude_each_other(path: Path, locks: list[WriteLock]) -> None:
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        while_theirs = is_taken(locks[0])
        other.kill()

    with locks[0].held(WAIT):
        while_ours = is_taken(locks[1])

    assert (while_theirs, while_ours, is_free(locks[1])) == (True, True, True)


def test_who_has_waited_holds_it_alone_and_leaves_it(locks: list[WriteLock]) -> None:
    seen = []
    left = threading.Event()

    def wait() -> None:
        with locks[1].held(WAIT):
            seen.append(is_taken(locks[2]))
        left.set()

    with locks[0].held(WAIT):
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not waiters():
            assert waiting.is_alive()
    waiting.join(WAIT)

    assert (seen, left.is_set()) == ([True], True)
    assert is_free(locks[2])


def test_who_gave_up_waiting_takes_the_lock_from_nobody(locks: list[WriteLock]) -> None:
    with locks[0].held(WAIT):
        with pytest.raises(DatabaseUnavailable):
            locks[1].held(0.02).__enter__()
        (still_in_the_queue,) = waiters()

    taken = []
    for _ in range(2):  # beside it, and after it had its turn
        with locks[1].held(WAIT):
            taken.append(is_taken(locks[2]))
        still_in_the_queue.join(WAIT)

    assert (still_in_the_queue.is_alive(), taken) == (False, [True, True])
    assert is_free(locks[2])


def test_a_lock_file_that_was_deleted_is_made_anew_and_excludes_as_before(path: Path, locks: list[WriteLock]) -> None:
    for lock in locks:
        with lock.held(WAIT):
            pass
    path.unlink()

    with locks[0].held(WAIT):
        taken = [is_taken(lock) for lock in locks[1:]]

    assert taken == [True, True]
    assert path.exists()
    assert is_free(locks[1])


def test_a_lock_file_that_was_replaced_is_the_one_that_counts(path: Path, locks: list[WriteLock]) -> None:
    with locks[0].held(WAIT):
        pass
    path.with_name("copy").touch()
    path.with_name("copy").rename(path)

    with locks[1].held(WAIT):
        assert is_taken(locks[0])


def test_closing_while_it_is_held_lets_nobody_in(locks: list[WriteLock]) -> None:
    with locks[0].held(WAIT):
        locks[0].close()
        taken = is_taken(locks[1])

    assert (taken, is_free(locks[1])) == (True, True)


def test_a_lock_that_was_closed_opens_its_file_again(locks: list[WriteLock]) -> None:
    locks[0].close()
    with locks[0].held(WAIT):
        pass
    locks[0].close()
    locks[0].close()

    with locks[0].held(WAIT):
        assert is_taken(locks[1])


def test_an_exception_leaves_the_lock(locks: list[WriteLock]) -> None:
    with pytest.raises(RuntimeError), locks[0].held(WAIT):
        raise RuntimeError

    assert is_free(locks[1])


def test_a_lock_file_that_cannot_be_opened_is_an_unavailable_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="cannot be opened"), WriteLock(tmp_path / "no" / "x").held(WAIT):
        pass
