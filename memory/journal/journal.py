"""The journal: the truth of memory, in one SQLite file (WAL) that many processes write.

A record, a state transition or a credit is an event; views are kept in the same transaction.
What a method has returned is on the disk. `generation` tells a derived index whether it is
behind.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal import views
from evo_agent.memory.journal.appending import append, append_records, begin_anew
from evo_agent.memory.journal.records import Record, State, from_json, unpack
from evo_agent.memory.journal.rows import Change, Generation, JournalEvent, Laid, Place, Stored
from evo_agent.memory.journal.schema import connect, translated

FILE = "journal.sqlite"
# Weights of the columns title, paths, text, diff in BM25: a title says most.
COLUMN_WEIGHTS = (4.0, 3.0, 1.0, 0.5)
_SHORTEST_PREFIX = 6  # digits of an id that a person may type
_SELECT = (
    "SELECT r.number, r.id, r.state, e.data, "
    "(SELECT count(*) FROM credits c WHERE c.record = r.id), "
    "(SELECT coalesce(sum(win), 0) FROM credits c WHERE c.record = r.id) "
    "FROM records r JOIN events e ON e.position = r.event "
)

_EVENTS = (
    "SELECT run, sequence, kind, record, CASE kind WHEN 'record' THEN '{{}}' ELSE data END, time "
    "FROM events WHERE {} ORDER BY time, position"
)
_ABOUT = "(position = (SELECT event FROM records WHERE id = ?) OR record = ? AND kind != 'record')"


class Journal:
    """One journal, open. Use it as a context manager.

    Args:
        folder: made when missing, readable by its owner only.

    Raises:
        StoreError: from any method, one line of cause and of remedy.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.RLock()
        with translated(self.path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._connection = connect(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; idempotent."""
        self._connection.close()

    # Writing

    def write(self, run: str, changes: Sequence[Change]) -> int:
        """Append events of a run, all or none, and bring the views up to date.

        Args:
            run: the run that they belong to; sequence numbers are given here.
            changes: a record that is already there is left out (records are immutable).

        Returns:
            How many records are new.
        """
        with self.transaction():
            return append(self._connection, run, changes)

    def add(self, run: str, rows: Sequence[Laid]) -> list[int]:
        """Like `write`, for records that were laid out beforehand (views.laid).

        Returns:
            Numbers of the new ones, in order; 0 in the place of one that was there.
        """
        with self.transaction():
            return append_records(self._connection, run, rows)

    def write_once(self, run: str, decide: Callable[[], Sequence[Change]]) -> bool:
        """Like `write`, but only if the run has written nothing yet.

        Args:
            run: the run.
            decide: called when it has not; nobody else writes while it reads and decides.

        Returns:
            Whether it was written now.
        """
        with self.transaction():
            if self._rows("SELECT 1 FROM events WHERE run = ? LIMIT 1", run):
                return False
            append(self._connection, run, decide())
            return True

    def remember(self, key: str, value: str) -> None:
        """Keep a fact about this machine (where a repository lies); not part of the truth."""
        if self.remembered(key) != value:
            with self.transaction():
                self._connection.execute(
                    "INSERT INTO about VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                    (key, value),
                )

    def remembered(self, key: str) -> str:
        """What was kept under a key; empty when nothing was."""
        rows = self._rows("SELECT value FROM about WHERE key = ?", key)
        return str(rows[0][0]) if rows else ""

    def rebuild(self) -> int:
        """Make the views anew from the events; what is derived from them begins anew too.

        Returns:
            Records after it.
        """
        with self.transaction() as connection:
            views.rebuild(connection)
            begin_anew(connection)
            return self.count()

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing, for what brings its own SQL (export, import, purge, verify).

        Args:
            write: without, only a consistent view: others write on meanwhile.
        """
        with self._lock, translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have ended it already
                    self._connection.execute("ROLLBACK")
                raise

    # Reading

    def get(self, record_id: str) -> Stored | None:
        """A record by id, or by an unambiguous beginning of at least 6 digits."""
        found = self._stored("WHERE r.id = ?", record_id)
        if not found and len(record_id) >= _SHORTEST_PREFIX and record_id.isalnum():
            found = self._stored("WHERE r.id GLOB ? LIMIT 2", f"{record_id}*")
        return found[0] if len(found) == 1 else None

    def numbered(self, numbers: Iterable[int]) -> dict[int, Stored]:
        """Records by number."""
        wanted = ",".join(str(int(number)) for number in numbers)
        return {s.number: s for s in self._stored(f"WHERE r.number IN ({wanted})")}

    def listed(
        self,
        *,
        kind: str = "",
        repo: str = "",
        origin: str = "",
        limit: int = -1,
        live: bool = False,
    ) -> list[Stored]:
        """Records, newest arrivals first; of the live ones, none is quarantined or archived."""
        return self._stored(
            "WHERE (?1 = '' OR r.kind = ?1) AND (?2 = '' OR r.repo = ?2) "
            "AND (?3 = '' OR r.origin = ?3) "
            "AND (?5 = 0 OR r.state NOT IN ('quarantined', 'archived')) "
            "ORDER BY r.number DESC LIMIT ?4",
            *(kind, repo, origin, limit, int(live)),
        )

    def after(self, number: int, limit: int) -> list[Stored]:
        """Records that arrived after a number, in order."""
        return self._stored("WHERE r.number > ? ORDER BY r.number LIMIT ?", number, limit)

    def skills_named(self, name: str, repo: str) -> list[Stored]:
        """Versions of a skill, newest first."""
        where = "WHERE r.kind = 'skill' AND r.name = ? AND r.repo = ? ORDER BY r.number DESC"
        return self._stored(where, name, repo)

    def made_from(self, record_id: str) -> list[Stored]:
        """Records that name another one as their source, newest first."""
        where = "WHERE r.id IN (SELECT record FROM sources WHERE source = ?) ORDER BY r.number DESC"
        return self._stored(where, record_id)

    def places(self, repo: str) -> list[Place]:
        """Where every record stands that a query about a repository might see."""
        columns = "number, id, kind, repo, scope, state, origin, issue, sha, time"
        sql = f"SELECT {columns} FROM records WHERE repo = ? OR scope != 'repo'"  # noqa: S608 - constant
        return [Place(*row) for row in self._rows(sql, repo)]

    def matches(self, query_terms: Sequence[str]) -> Iterator[tuple[int, float]]:
        """Numbers of records that hold any of the terms, with BM25 (greater is better), best first.

        Args:
            query_terms: as `words.terms` gives them.
        """
        quoted = " OR ".join(f'"{term}"' for term in query_terms if '"' not in term)
        if not quoted:
            return
        weights = ", ".join(str(weight) for weight in COLUMN_WEIGHTS)
        sql = (
            f"SELECT rowid, -bm25(search, {weights}) FROM search WHERE search MATCH ? "  # noqa: S608 - constants
            f"ORDER BY bm25(search, {weights}), rowid"
        )
        with translated(self.path):
            yield from self._connection.execute(sql, (quoted,))

    def frequency(self, term: str, most: int = -1) -> int:
        """How many records hold a term; counted up to `most`, which is quick, when it is given."""
        if most < 0 or '"' in term:
            rows = self._rows("SELECT doc FROM terms WHERE term = ?", term)
        else:
            sql = "SELECT count(*) FROM (SELECT 1 FROM search WHERE search MATCH ? LIMIT ?)"
            rows = self._rows(sql, f'"{term}"', most)
        return int(rows[0][0]) if rows else 0

    def count(self) -> int:
        """How many records there are."""
        return int(self._rows("SELECT count(*) FROM records")[0][0])

    def counts(self) -> list[tuple[str, str, str, int]]:
        """(kind, origin, state, how many), sorted."""
        sql = "SELECT kind, origin, state, count(*) FROM records GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        return [(k, o, s, n) for k, o, s, n in self._rows(sql)]

    def commits(self, repo: str, among: Sequence[str]) -> set[str]:
        """Those of some SHAs whose commits have been learnt, purged ones too."""
        sql = (
            "SELECT sha FROM records WHERE repo = ?1 AND sha IN (SELECT value FROM json_each(?2)) "
            "UNION SELECT json_extract(data, '$.sha') FROM events WHERE kind = 'purge' "
            "AND kind != 'record' AND json_extract(data, '$.repo') = ?1"
        )
        return {sha for (sha,) in self._rows(sql, repo, json.dumps(among))}

    def events(self, *, record: str = "", run: str = "", kind: str = "") -> list[JournalEvent]:
        """Events about a record or of a run, in order; those that add records without data."""
        conditions = {
            _ABOUT: (record, record) if record else (),
            "run = ?": (run,) if run else (),
            "kind = ? AND kind != 'record'" if kind != "record" else "kind = ?": (kind,)
            * bool(kind),
        }
        given = {condition: values for condition, values in conditions.items() if values}
        sql = _EVENTS.format(" AND ".join(given) or "1")
        rows = self._rows(sql, *(value for values in given.values() for value in values))
        return [JournalEvent(r, s, k, i, json.loads(d), t) for r, s, k, i, d, t in rows]

    def generation(self) -> Generation:
        """What a derived index compares itself with."""
        rows = self._rows(
            "SELECT a.value, coalesce(r.number, 0), coalesce(r.id, '') FROM about a LEFT JOIN "
            "(SELECT number, id FROM records ORDER BY number DESC LIMIT 1) r WHERE a.key = 'epoch'"
        )
        return Generation(*rows[0])

    def position(self) -> int:
        """Number of the last event, of whatever kind: equal numbers mean that nothing changed."""
        return int(self._rows("SELECT coalesce(max(position), 0) FROM events")[0][0])

    def holds(self, number: int, record_id: str) -> bool:
        """Whether a record stands at a number."""
        return bool(
            self._rows("SELECT 1 FROM records WHERE number = ? AND id = ?", number, record_id)
        )

    def check(self) -> None:
        """Read the whole file, and compute every record's id anew.

        Raises:
            StoreError: a page or a record is damaged.
        """
        result = self._rows("PRAGMA quick_check")[0][0]
        if result != "ok":
            raise StoreError(f"memory at {self.path}: {result}", "restore it from a copy")
        rows = "SELECT record, data FROM events WHERE kind = 'record' ORDER BY position"
        with translated(self.path):
            for record_id, data in self._connection.execute(rows):
                _read(record_id, data, verify=True)

    def _stored(self, where: str, *values: Any) -> list[Stored]:
        rows = self._rows(_SELECT + where, *values)
        return [
            Stored(number, _read(record_id, data), State(state), uses, wins)
            for number, record_id, state, data, uses, wins in rows
        ]

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with translated(self.path), self._lock:
            return self._connection.execute(sql, values).fetchall()


def _read(record_id: str, data: bytes, *, verify: bool = False) -> Record:
    """A record from its bytes, whose checksum shows damage; the id is computed only to verify."""
    record = from_json(unpack(data), verify=verify)
    if record.id != record_id:
        cause = f"the journal has another record in the place of {record_id[:12]}"
        raise StoreError(cause, "restore the journal from a copy")
    return record
