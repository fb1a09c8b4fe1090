"""Statements made once and run by the driver itself: SQLAlchemy writes the SQL, and converts as its types say.

SQLAlchemy's own way to the driver takes several times as long as SQLite needs to find a row by its key, and one request
of a modality reads and writes a dozen of them.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Table, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Executable

KEPT_STATEMENTS = 512
"""There are as many as the store has in its files, and a few forms of each."""

Converter = Callable[[Any], Any]


class Prepared:
    """A query, made once for each kind of database by a function of its name; `prepared` decorates that function."""

    def __init__(self, make: Callable[[str], Executable]) -> None:
        self._make = make
        self._made: dict[str, _Text] = {}

    def rows(self, tx: Connection, values: Mapping[str, Any] | None = None) -> list[Any]:
        """All rows, as named tuples. values: of its parameters."""
        dialect = tx.dialect
        made = self._made.get(dialect.name)
        if made is None:
            made = self._made[dialect.name] = _text(dialect, self._make(dialect.name), ())
        driver = tx.connection.driver_connection
        try:
            found = driver.execute(made.sql, made.parameters(values or {})).fetchall()  # type: ignore[union-attr]
        except tx.dialect.loaded_dbapi.Error as error:
            raise _named(tx, error) from error
        return made.made(found)

    def scalars(self, tx: Connection, values: Mapping[str, Any] | None = None) -> list[Any]:
        """The first value of each row."""
        return [row[0] for row in self.rows(tx, values)]


def prepared(make: Callable[[str], Executable]) -> Prepared:
    """Decorates a function from a kind of database to its query."""
    return Prepared(make)


def add(tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; all have the same keys."""
    write(tx, _insert(table), rows)


def write(tx: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run an update or delete for each row; all rows have the same keys.

    statement  one that the caller keeps: what is made of it stays at hand under it
    """
    if not rows:
        return
    made = _text(tx.dialect, statement, tuple(rows[0]))
    driver = tx.connection.driver_connection
    try:
        if len(rows) == 1:
            driver.execute(made.sql, made.parameters(rows[0]))  # type: ignore[union-attr]
        else:
            driver.cursor().executemany(made.sql, [made.parameters(row) for row in rows])  # type: ignore[union-attr]
    except tx.dialect.loaded_dbapi.Error as error:
        raise _named(tx, error) from error


class _Text(NamedTuple):
    """A statement as the driver takes it.

    names       of its parameters: one for each question mark, or each once where the driver takes them by name
    constants   values that stand in the statement itself, by name
    converters  of values on their way in, by place
    columns     of values on their way out, by place
    row         makes a row of a driver's row
    """

    sql: str
    names: tuple[str, ...]
    by_name: bool
    constants: Mapping[str, Any]
    converters: Sequence[tuple[int, Converter]]
    columns: Sequence[tuple[int, Converter]]
    row: Callable[[Any], Any]

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Values in the form the driver takes them."""
        if self.constants:
            values = {**self.constants, **values}
        given = [values[name] for name in self.names]
        for place, convert in self.converters:
            given[place] = convert(given[place])
        return dict(zip(self.names, given, strict=True)) if self.by_name else given

    def made(self, found: Sequence[Any]) -> list[Any]:
        """Rows of the driver as ours."""
        return list(map(self._row if self.columns else self.row, found))

    def _row(self, found: Sequence[Any]) -> Any:
        values = list(found)
        for place, convert in self.columns:
            values[place] = convert(values[place])
        return self.row(values)


@cache
def _insert(table: Table) -> Executable:
    return insert(table)


@lru_cache(maxsize=KEPT_STATEMENTS)
def _text(dialect: Dialect, statement: Executable, keys: tuple[str, ...]) -> _Text:
    """keys: of the values that are written; () for a query."""
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(keys) or None)  # type: ignore[attr-defined]
    binds = {name: bind for bind, name in compiled.bind_names.items()}
    names = tuple(compiled.positiontup if compiled.positional else binds)
    types = [binds[name].type.dialect_impl(dialect) for name in names]
    chosen = list(getattr(statement, "selected_columns", ()))
    columns = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in chosen]
    titles = [column.key or "" for column in chosen]
    row: Any = namedtuple("Row", titles, rename=True)  # type: ignore[misc]  # noqa: PYI024
    return _Text(
        str(compiled),
        names,
        not compiled.positional,
        {name: bind.value for name, bind in binds.items() if not bind.required},
        _converters(one.bind_processor(dialect) for one in types),
        _converters(columns),
        row._make,
    )


def _converters(all_of_them: Iterable[Converter | None]) -> list[tuple[int, Converter]]:
    return [(place, convert) for place, convert in enumerate(all_of_them) if convert is not None]


def _named(tx: Connection, error: Any) -> Exception:
    """The driver's error as SQLAlchemy would raise it, without values."""
    dialect = tx.dialect
    errors = dialect.loaded_dbapi.Error
    lost = dialect.is_disconnect(error, tx.connection.driver_connection, None)
    named: Exception = DBAPIError.instance(
        None, None, error, errors, hide_parameters=True, connection_invalidated=lost, dialect=dialect
    )
    return named
