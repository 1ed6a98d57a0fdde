"""The connection to FalkorDB: parameterised queries in, plain rows out, faults as sentences."""

from __future__ import annotations

import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
from falkordb import Edge, FalkorDB, Node, Path
from falkordb.graph import Graph
from redis.backoff import NoBackoff
from redis.retry import Retry

from agents.memory.errors import MemoryDown, Overrun, QueryError
from agents.memory.types import Table

GRAPH = "memory"
EMBEDDED = "the embedded server"
CONNECT_SECONDS = 5.0
GRACE_SECONDS = 1.0  # after the time limit of a person's query, until we wait no longer
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
Row = list[Any]


class GraphDB:
    """One graph of one database. Safe to use from several threads."""

    def __init__(self, options: Mapping[str, Any], name: str = GRAPH, where: str = "") -> None:
        """`options`: how the client connects."""
        self.name = name
        self.where = where
        self._options = dict(options)
        database = _connect(self._options)
        self._database = database
        self._graph: Graph = database.select_graph(name)
        self._lock = threading.Lock()

    @classmethod
    def on_socket(cls, socket: str, name: str = GRAPH) -> GraphDB:
        """The embedded server's graph."""
        return cls({"unix_socket_path": socket}, name, socket)

    @classmethod
    def at_url(cls, url: str, tls_ca: str = "") -> GraphDB:
        """A server's graph: falkor://user:password@host:port/graph, falkors:// with TLS."""
        parts = urlsplit(url)
        if parts.scheme not in ("falkor", "falkors") or not parts.hostname:
            raise MemoryDown(
                f"memory.url '{without_password(url)}' is no address of a FalkorDB server.",
                "Write falkor://user:password@host:6379/graph, or falkors:// for TLS.",
            )
        options: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or 6379,
            "username": parts.username,
            "password": parts.password,
        }
        if parts.scheme == "falkors":
            options["ssl"] = True
            if tls_ca:
                options["ssl_ca_certs"] = tls_ca
        name = parts.path.strip("/") or GRAPH
        return cls(options, name, without_password(url))

    def close(self) -> None:
        """Drop the connections."""
        self._database.connection.close()

    def move(self, socket: str) -> None:
        """The embedded server was started anew: its graph is there now."""
        self.close()
        self._options = {"unix_socket_path": socket}
        self._database = _connect(self._options)
        self._graph = self._database.select_graph(self.name)

    def wait_indexes(self, seconds: float = 60.0) -> None:
        """Wait until indexes can be asked; after a start they may still be in the making."""
        deadline = time.monotonic() + seconds
        while any(
            str(row[0]) != "OPERATIONAL"
            for row in self.read("CALL db.indexes() YIELD status RETURN status")
        ):
            if time.monotonic() > deadline:
                raise MemoryDown(
                    f"The graph's indexes were not ready within {seconds:.0f} s.", "Try again."
                )
            time.sleep(0.01)

    def ping(self) -> None:
        """Raises MemoryDown when the server does not answer."""
        try:
            self._database.connection.ping()
        except (redis.RedisError, OSError) as error:
            raise down(error, self.where) from error

    def exists(self) -> bool:
        """Whether anything was ever written."""
        try:
            return self.name in self._database.list_graphs()
        except (redis.RedisError, OSError) as error:
            raise down(error, self.where) from error

    def write(self, query: str, /, **parameters: Any) -> list[Row]:
        """Run a query that may change the graph. Returns its rows."""
        with self._lock:
            return self._run(query, parameters, read_only=False, timeout=None)

    def read(self, query: str, /, **parameters: Any) -> list[Row]:
        """Run a query that only reads. Returns its rows."""
        return self._run(query, parameters, read_only=True, timeout=None)

    def ensure(self, query: str) -> None:
        """Make or drop an index; one that is there, or gone, already is fine."""
        try:
            self.write(query)
        except QueryError as error:
            text = str(error).lower()
            if "already indexed" not in text and "no such index" not in text:
                raise

    def rewrite(self) -> None:
        """Have the server write its file anew, so that what was deleted is not in it any more."""
        try:
            self._database.connection.execute_command("BGREWRITEAOF")
        except redis.ResponseError:
            return  # it is at it already, or keeps no such file
        except (redis.RedisError, OSError) as error:
            raise down(error, self.where) from error

    def table(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
        timeout: float = 5.0,
        limit: int = 1000,
    ) -> Table:
        """Run a person's query. Raises QueryError with what the database says of it."""
        started = time.monotonic()
        if not query.strip():
            raise QueryError("The query is empty.", "Try MATCH (e:Entity) RETURN e.name LIMIT 10.")
        # A connection of its own: the server does not look at the clock inside every function, so
        # that we may have to stop waiting by ourselves.
        options = {"socket_timeout": timeout + GRACE_SECONDS, "retry": Retry(NoBackoff(), 0)}
        database = _connect({**self._options, **options})
        graph = database.select_graph(self.name)
        run = graph.ro_query if read_only else graph.query
        try:
            result = run(
                clean(query), cleaned(parameters or {}), timeout=max(1, int(timeout * 1000))
            )
        except redis.ResponseError as error:
            raise refused(error, timeout) from error
        except redis.TimeoutError as error:
            said = refused(redis.ResponseError("timed out"), timeout)
            raise Overrun(said.what, said.remedy) from error
        except (redis.RedisError, OSError) as error:
            raise down(error, self.where) from error
        finally:
            database.connection.close()
        rows = result.result_set
        return Table(
            tuple(str(column[1]) for column in result.header),
            tuple(tuple(plain(value) for value in row) for row in rows[:limit]),
            time.monotonic() - started,
            len(rows) > limit,
        )

    def _run(
        self, query: str, parameters: Mapping[str, Any], read_only: bool, timeout: int | None
    ) -> list[Row]:
        run = self._graph.ro_query if read_only else self._graph.query
        try:
            rows: list[Row] = run(query, cleaned(parameters) or None, timeout=timeout).result_set
            return rows
        except redis.ResponseError as error:
            text = str(error)
            if read_only and (
                "Invalid graph operation on empty key" in text or "empty key" in text
            ):
                return []  # nothing was ever written
            if text.startswith(("LOADING", "MISCONF", "OOM", "NOAUTH", "WRONGPASS", "READONLY")):
                raise down(error, self.where) from error
            raise QueryError(f"The graph database refused a query: {text}.") from error
        except (redis.RedisError, OSError) as error:
            raise down(error, self.where) from error


def _connect(options: Mapping[str, Any]) -> FalkorDB:
    where = str(options.get("host") or EMBEDDED)
    if options.get("ssl"):
        _shake_hands(str(options["host"]), int(options["port"]), options.get("ssl_ca_certs"))
    try:
        return FalkorDB(socket_connect_timeout=CONNECT_SECONDS, **options)
    except (redis.RedisError, OSError) as error:
        raise down(error, where) from error


def _shake_hands(host: str, port: int, authority: str | None) -> None:
    """Whether a server speaks TLS and is who it should be, before the client tries: that one waits for
    ever for an answer from a server without TLS, and its sentences name no setting."""
    where = f"The graph database at {host}:{port}"
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise MemoryDown(
            f"memory.tls_ca, {authority}, cannot be read: {error.strerror or error}.",
            "Name a PEM file with the certificate of the server's authority.",
        ) from error
    try:
        with (
            socket.create_connection((host, port), CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            pass
    except ssl.SSLCertVerificationError as error:
        raise MemoryDown(
            f"{where} has a certificate that cannot be trusted: {error.verify_message}.",
            "Set memory.tls_ca to the PEM file of its authority, and memory.url to the name in it.",
        ) from error
    except (ssl.SSLError, TimeoutError, ConnectionResetError) as error:
        raise MemoryDown(
            f"{where} does not answer in TLS.",
            "Write falkor:// in memory.url if it has none, or correct the port.",
        ) from error
    except OSError as error:
        raise down(error, where) from error


def down(error: Exception, where: str) -> MemoryDown:
    """The sentence for a database that cannot be used."""
    text = str(error).rstrip(".")
    if isinstance(error, redis.AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")):
        return MemoryDown(
            f"The graph database at {where} refused the name or password.",
            "Correct memory.url: falkor://user:password@host:port/graph.",
        )
    return MemoryDown(
        f"The graph database does not answer: {text}.",
        ("" if where == EMBEDDED or where.startswith("/") else "Start it, or correct memory.url. ")
        + "What is said waits on disk and is taken in when it is back.",
    )


def refused(error: redis.ResponseError, timeout: float) -> QueryError:
    """The sentence for a person's query that failed."""
    text = str(error).rstrip(".")
    if re.search(r"query timed out|timed out$", text, re.I):
        return QueryError(
            f"The query took longer than {timeout:g} s and was stopped.",
            "Add a LIMIT, or raise memory.query_seconds.",
        )
    if re.search(r"mem(?:ory)? consumption|out of memory|OOM command", text):
        return QueryError("The query needs too much memory.", "Add a LIMIT, or ask for less.")
    if "read-only" in text.lower() or "GRAPH.RO_QUERY" in text:
        return QueryError(
            "The query would change the graph, and this is read-only.",
            "Allow changes: x in the app, --write on the command line.",
        )
    if "empty key" in text:
        return QueryError("The memory is empty.", "Talk to an agent, or ingest a file.")
    return QueryError(*mistake(text))


_TRY = "docs/memory.md has the schema and an example."
_MISTAKES = (
    # What the database says, what that means, and what to do.
    (
        r"'(?P<x>[^']*)' not defined",
        "The query uses {x}, which it does not define.",
        "Name it in MATCH, UNWIND or WITH; a text stands in quotes: '{x}'.",
    ),
    (
        r"Unknown function '(?P<x>[^']*)'",
        "There is no function {x}.",
        "Use one of FalkorDB's: count, collect, toLower, size, type, labels, …",
    ),
    (
        r"Procedure `(?P<x>[^`]*)` is not registered",
        "There is no procedure {x}.",
        "CALL dbms.procedures() lists them.",
    ),
    (
        r"Missing parameters",
        "The query has a $parameter, which has no value here.",
        "Write the value itself, or give --param NAME=VALUE on the command line.",
    ),
    (
        r"more than one statement",
        "Only one query can run at a time.",
        "Take what stands after the semicolon out.",
    ),
    (
        r"Unexpected clause following RETURN",
        "RETURN must be the last clause of a query.",
        "Take what stands after it out, or write WITH in its place.",
    ),
    (
        r"WITH clause projections must be aliased",
        "What WITH passes on needs a name.",
        "Write WITH n.name AS name.",
    ),
    (
        r"Type mismatch: expected (?P<x>.+) but was (?P<y>.+)",
        "The query puts a value of type {y} where {x} belongs.",
        "Change that expression, or convert it with toString or toInteger.",
    ),
    (r"Division by zero", "The query divides by zero.", "Leave those rows out with WHERE."),
    (
        r"(?P<x>SKIP|LIMIT) specified value of invalid type",
        "{x} needs a whole number that is not negative.",
        "Write it as in {x} 10.",
    ),
)


def mistake(text: str) -> tuple[str, str]:
    """One sentence and a remedy for what the database says of a query."""
    found = re.search(
        r"Invalid input (?P<got>.+?): expected (?P<wanted>.+?) line: \d+, column: (?P<at>\d+)", text
    )
    if found:
        got = found["got"]
        near = re.search(r"errCtx: (.*?) errCtxOffset: (\d+)", text, re.DOTALL)
        where = f"at character {found['at']}"
        if got == "at end of input":
            where = "at its end"
        elif near:
            start = re.search(r"\w*$", near[1][: int(near[2])])
            after = near[1][start.start() if start else 0 :].split()
            where += f', at "{after[0]}"' if after else ""
        inside = got != "at end of input" and near and re.search(r"\w$", near[1][: int(near[2])])
        wanted = "" if inside else found["wanted"]
        wanted = {"'": "a closing '", '"': 'a closing "'}.get(wanted, wanted)
        more = f": {wanted} would fit there" if 0 < len(wanted) <= 48 else ""
        return f"The query cannot be read {where}{more}.", f"Correct it there. {_TRY}"
    for pattern, what, remedy in _MISTAKES:
        match = re.search(pattern, text)
        if match:
            values = match.groupdict()
            return what.format(**values), remedy.format(**values)
    said = text.removeprefix("ErrMsg: ").removeprefix("Error: ").split(" line: ")[0]
    return f"The database refused the query: {said}.", f"Correct the query. {_TRY}"


def name_of(identifier: str) -> str:
    """A relation type or label as it may stand in a query; never text that somebody said."""
    if not IDENTIFIER.fullmatch(identifier):
        raise QueryError(f"'{identifier}' is no name of a relation.")
    return f"`{identifier}`"


def without_password(url: str) -> str:
    """An address as it may be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = f"{parts.username or ''}:…@{parts.hostname}"
    if parts.port:
        host += f":{parts.port}"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def clean(text: str) -> str:
    """Text as the database can hold it: no NUL (it ends a query), no half surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def cleaned(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the client can write them."""
    return {key: _clean(value) for key, value in parameters.items()}


def _clean(value: Any) -> Any:
    match value:
        case str():
            return clean(value)
        case bool() | None | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {key: _clean(part) for key, part in value.items()}
        case Iterable():
            return [_clean(part) for part in value]
        case _:
            return float(value)


def plain(value: Any) -> object:
    """A result's cell: what JSON can hold; nodes and edges without their vectors."""
    match value:
        case Node():
            return {"labels": list(value.labels or ()), **_properties(value.properties)}
        case Edge():
            return {"relation": value.relation, **_properties(value.properties)}
        case Path():
            return [plain(part) for part in (*value.nodes(), *value.edges())]
        case dict():
            return {str(key): plain(part) for key, part in value.items()}
        case str() | int() | float() | bool() | None:
            return value
        case Sequence():
            return [plain(part) for part in value]
        case _:
            return str(value)


def _properties(properties: Mapping[str, Any]) -> dict[str, object]:
    hidden = ("embedding", "window", "terms")
    return {key: plain(value) for key, value in properties.items() if key not in hidden}
