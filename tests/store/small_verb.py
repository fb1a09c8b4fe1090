"""A verb small enough to see through: it keeps names, each once, and answers with the name's number."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from broker.store.database import Database
from broker.store.ids import Ids
from broker.store.tables import issuers
from broker.store.writer import Decision, Verb

_KNOWN = select(issuers.c.namespace, issuers.c.id).where(issuers.c.namespace.in_(bindparam("names", expanding=True)))


class Names:
    """The names that are known, by number."""

    def __init__(self, known: dict[str, int]) -> None:
        self.known = known

    def draft(self) -> ChainMap[str, int]:
        return ChainMap({}, self.known)

    def fold(self, draft: ChainMap[str, int]) -> None:
        self.known.update(draft.maps[0])


def keep_name(ids: Ids, **parts: Callable[..., Any]) -> Verb:
    """The verb; `parts` replaces its functions. Requests are names."""

    def load(tx: Connection, names: Sequence[str]) -> Names:
        return Names({row.namespace: row.id for row in tx.execute(_KNOWN, {"names": list(names)})})

    def decide(draft: ChainMap[str, int], name: str) -> Decision:
        if name in draft:
            return Decision(None, draft[name])
        draft[name] = ids.next("issuers")
        return Decision((draft[name], name), draft[name])

    def apply(tx: Connection, decisions: Sequence[Decision]) -> None:
        rows = [decision.changes for decision in decisions if decision.changes]
        if rows:
            tx.execute(
                insert(issuers),
                [{"id": number, "namespace": name, "universal_id": "", "universal_type": ""} for number, name in rows],
            )

    verb = Verb("keep_name", keys=lambda name: [f"name:{name}"], load=load, decide=decide, apply=apply)
    return replace(verb, **parts)


def kept_names(database: Database) -> list[str]:
    """All names kept so far, in order of their numbers."""
    with database.read() as tx:
        return list(tx.execute(select(issuers.c.namespace).where(issuers.c.id > 0).order_by(issuers.c.id)).scalars())
