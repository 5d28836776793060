"""The native part. Import from ``trailseal``; the names here may move."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import timedelta
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, final
from uuid import UUID

from ._types import (
    Ack,
    Actor,
    EventDict,
    EventFields,
    ExportFormat,
    Id,
    Mode,
    OneOrMore,
    Order,
    OrderBy,
    OutcomeName,
    Resource,
    SeverityName,
    Since,
    Status,
    Time,
)

__version__: str

@final
class Receipt:
    """What a caller gets for an event."""

    @property
    def id(self) -> str:
        """The event's id: the caller's own, or a new UUIDv7."""
    @property
    def index(self) -> int | None:
        """Its position in its trail; ``None`` if it is not kept. Provisional until the event is durable."""
    @property
    def status(self) -> Status: ...
    @property
    def origin(self) -> str:
        """The name of the trail that has it."""
    @property
    def repeated(self) -> bool:
        """Whether the event was there already; only ``record_once`` looks."""
    @property
    def retired(self) -> bool:
        """Whether that event has been retired since: its index is known, its text is gone."""
    @property
    def is_kept(self) -> bool:
        """Whether it has an index: neither refused, sampled out nor off."""

@final
class RequestContext:
    """Whose request is being handled, and where it came from: what events get that do not say it themselves.

    It can be changed: once a dependency knows who asks, it sets the actor, and every later event of the request has it.
    Safe for use by several threads.
    """

    def __new__(
        cls,
        *,
        actor: Actor | None = None,
        tenant: Id | None = None,
        on_behalf_of: Actor | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Self: ...
    @staticmethod
    def of_headers(
        headers: Iterable[tuple[bytes, bytes]], *, ip: str | None = None, service: str | None = None
    ) -> RequestContext:
        """The context of a request with these headers, whose names are in lower case: user agent, request id (a new
        one if none was sent), correlation id, trace and span."""

    def set(
        self,
        *,
        actor: Actor | None = ...,
        tenant: Id | None = ...,
        on_behalf_of: Actor | None = ...,
        context: Mapping[str, Any] | None = ...,
        **context_fields: Any,
    ) -> None:
        """Sets what is named. ``None`` takes it away. Fields of ``context`` (``ip``, ``user_agent``, ``request_id``,
        ``correlation_id``, ``session_id``, ``trace_id``, ``span_id``, ``component``, ``service``, ``version``,
        ``host``, or your own) can be given by name too; those that are not named stay."""
    def as_dict(self) -> dict[str, Any]:
        """What is known: ``actor``, ``tenant``, ``on_behalf_of`` and ``context``, as far as they are set."""

request_context: ContextVar[RequestContext | None]
"""The context of the request that is being handled. ``record`` reads it; a middleware sets it."""

@final
class Events(Iterator[EventDict]):
    """Events, read page by page as they are taken; the GIL is released meanwhile."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> EventDict: ...
    def _end(self) -> None: ...

@final
class Page:
    """One page of events."""

    @property
    def events(self) -> list[EventDict]: ...
    @property
    def next(self) -> str | None:
        """The cursor of the next page; ``None`` at the end."""

@final
class Server:
    """The HTTP interface and the viewer, running beside the application in threads of their own."""

    @property
    def url(self) -> str: ...
    @property
    def address(self) -> tuple[str, int]: ...
    @property
    def first_token(self) -> str | None:
        """An admin token, only when the folder had none: keep it, it is not shown again."""
    def stop(self, timeout: float = 10.0) -> None:
        """Answers what is being answered and stops. The trail stays open."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

@final
class Relay:
    """Takes events over from an outbox until it is stopped, or the trail is closed."""

    def stats(self) -> dict[str, Any]:
        """``taken_over``, ``refused`` (put aside, since they cannot be recorded), and ``trouble``: why nothing is taken over
        at the moment, or ``None``."""
    def wait_emptied(self, timeout: float = 10.0) -> bool:
        """Waits until what was committed before this call is taken over. ``False`` if time is up."""
    def stop(self) -> None:
        """Ends it. What waits in the outbox stays there."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

@final
class Awaited:
    """Events that have an index, or wait for room, and whose level is not reached yet. Internal."""

    def wait(self) -> Any:
        """Blocks until the level is reached; the GIL is released meanwhile. The receipt, or of several the list of
        theirs."""
    def let_go(self) -> None:
        """Does not wait: what needs room is recorded as soon as there is some."""

@final
class LoopWaits:
    """What one event loop waits for. Internal."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int: ...
    def is_forked(self) -> bool: ...
    def add(self, awaited: Awaited, future: Any) -> None: ...
    def ring(self) -> None: ...

class Trail:
    """An application's audit trail: a folder. Use ``trailseal.Trail``, which adds the awaitable forms."""

    @classmethod
    def open(
        cls,
        dir: str | PathLike[str] | None = None,
        *,
        config: str | PathLike[str] | None = None,
        environment: bool = True,
        warm_up: bool = False,
        origin: str | None = None,
        workers: Literal["one", "slots"] | None = None,
        mode: Mode | None = None,
        rate: float | None = None,
        timeout_ms: int | None = None,
        on_failure: Literal["deny", "allow"] | None = None,
        acknowledge: Literal["durable", "store"] | None = None,
        rules: Iterable[Mapping[str, Any]] | None = None,
        personal: Iterable[Mapping[str, Any]] | None = None,
        personal_keys_file: str | PathLike[str] | None = None,
        personal_keys_master_key: str | PathLike[str] | None = None,
        personal_keys_master_command: str | None = None,
        create: bool | None = None,
        key_file: str | PathLike[str] | None = None,
        disk_reserve: str | int | None = None,
        allow_network_file_system: bool | None = None,
        handoff_path: str | PathLike[str] | None = None,
        handoff_size: str | int | None = None,
        handoff_full: Literal["block", "refuse"] | None = None,
        handoff_timeout_ms: int | None = None,
        segment_roll: str | int | None = None,
        segment_compress: bool | None = None,
        commit_linger_ms: int | None = None,
        seal_every_ms: int | None = None,
        index_enabled: bool | None = None,
        mask_enabled: bool | None = None,
        mask_keys: Sequence[str] | None = None,
        mask_allow: Sequence[str] | None = None,
        mask_patterns: Sequence[str] | None = None,
        mask_hash: Sequence[str] | None = None,
        mask_preset: str | None = None,
        mask_replace_with: Literal["fixed", "remove", "last4", "hmac"] | None = None,
        anchors: Iterable[Mapping[str, str]] | None = None,
        store: str | None = None,
        store_password: str | None = None,
    ) -> Self:
        """Opens the trail in folder ``dir`` for writing, and makes it if there is none. What an earlier process had
        accepted is recovered first.

        Each keyword is the setting of that name in docs/settings.md, with ``_`` for the dot (``handoff_size`` is
        ``handoff.size``). Settings come from the file ``config``, if one is named, then from the environment
        (``TRAILSEAL_…``, unless ``environment=False``), then from keywords; later ones win.

        ``personal`` names the values that can be erased, such as ``[{"preset": "usual"}]``; see docs/erasure.md.

        ``store`` is the URL of a shared store on PostgreSQL, ``postgres://USER@HOST/DATABASE``: every event is delivered to
        it, once, and ``ack="store"`` waits for that. See docs/store.md.

        With ``workers="slots"`` each process takes a trail of its own in the folder, at its first use of it, also after a
        fork; readers see them as one. ``warm_up=True`` takes it at once, also in each forked child.

        Opening a folder again that this process has open with the same settings gives the same trail.

        Raises ``OpenError`` (``LockedError``: another process writes to it) or ``SettingsError``.
        """
    @classmethod
    def temporary(
        cls,
        *,
        config: str | PathLike[str] | None = None,
        warm_up: bool = False,
        rules: Iterable[Mapping[str, Any]] | None = None,
        personal: Iterable[Mapping[str, Any]] | None = None,
        anchors: Iterable[Mapping[str, str]] | None = None,
        **settings: Any,
    ) -> Self:
        """A trail for a test, in a folder of its own that goes away with it. Takes the keywords of ``open``; the
        environment is not read."""
    @property
    def dir(self) -> Path: ...
    @property
    def origin(self) -> str:
        """The trail's name; with slots, that of this process's slot, which is taken if it was not."""
    @property
    def is_closed(self) -> bool: ...
    @property
    def workers(self) -> Literal["one", "slots"]: ...
    def warm_up(self) -> None:
        """Opens what the first record of this process would open: after a fork, its slot. Takes about 0.1 s then."""
    def record(
        self,
        action: str,
        *,
        actor: Actor | None = None,
        tenant: Id | None = None,
        resource: Resource | None = None,
        outcome: OutcomeName | str | bool | None = None,
        details: Mapping[str, Any] | None = None,
        before: Any = None,
        after: Any = None,
        changes: Any = None,
        context: Mapping[str, Any] | None = None,
        category: str | None = None,
        severity: SeverityName | str | None = None,
        description: str | None = None,
        error: str | BaseException | None = None,
        on_behalf_of: Actor | None = None,
        related: Iterable[Resource] | None = None,
        duration_ms: float | timedelta | None = None,
        approval: Any = None,
        id: str | UUID | None = None,
        time: Time | None = None,
        extra: Mapping[str, Any] | None = None,
        ack: Ack | None = None,
    ) -> Receipt:
        """Records an event; returns when the policy says so. In mode async that is a few microseconds, without disk or
        network. ``ack`` raises what the policy asks for.

        No value is a reason to raise: what JSON does not have is converted (UUID, datetime, Decimal, Enum, bytes, paths,
        sets, pydantic models, dataclasses, SQLAlchemy rows), and anything else is recorded as its ``repr``, shortened,
        and listed in ``_converted``. ``error`` sets the outcome to ``failure`` unless one is given.

        Raises ``RefusedError`` (nothing will be recorded) or ``UnconfirmedError`` (it is kept, but not on disk in time).
        Where the policy says ``allow``, both are receipts.
        """
    def record_once(self, action: str, *, id: str | UUID, **fields: Any) -> Receipt:
        """As ``record``, unless its tenant already has an event with this id; then ``receipt.repeated`` is true. So a
        retry is safe. Raises ``ConflictError`` if another event has the id."""
    def record_all(self, events: Iterable[Mapping[str, Any]], *, ack: Ack | None = None) -> list[Receipt]:
        """Records events as one: those that the policy keeps get consecutive indexes, or none gets any, also after a
        crash. Each is a mapping with ``action`` and the keywords of ``record``."""
    def _begin(self, action: str, fields: EventFields) -> Receipt | Awaited: ...
    def _prepare(self, action: str, fields: EventFields) -> tuple[str, str, list[str]]: ...
    def relay_outbox(self, url: str) -> Relay:
        """Takes events over from the outbox in the database at ``url`` (``postgres://USER@HOST/DATABASE``), each once, on
        a thread of its own. See ``trailseal.outbox``. Several trails may do so at once. With slots, or after a fork, call it
        in each process that is to do it."""
    def _begin_all(self, events: Iterable[Mapping[str, Any]], ack: Ack | None) -> list[Receipt] | Awaited: ...
    def query(
        self,
        *,
        limit: int | None = None,
        order: Order = "desc",
        order_by: OrderBy = "time",
        cursor: str | None = None,
        tenant: Id | Iterable[Id] | None = None,
        actor: Actor | Iterable[Actor] | None = None,
        on_behalf_of: Actor | Iterable[Actor] | None = None,
        action: OneOrMore | None = None,
        category: OneOrMore | None = None,
        resource: Resource | Iterable[Resource] | None = None,
        outcome: str | bool | Iterable[str | bool] | None = None,
        severity: OneOrMore | None = None,
        ip: OneOrMore | None = None,
        correlation_id: OneOrMore | None = None,
        request_id: OneOrMore | None = None,
        session_id: OneOrMore | None = None,
        trace_id: OneOrMore | None = None,
        origin: OneOrMore | None = None,
        since: Since | None = None,
        until: Since | None = None,
        recorded_since: Since | None = None,
        recorded_until: Since | None = None,
        text: OneOrMore | None = None,
        id: Id | Iterable[Id] | None = None,
        system: bool = False,
        personal: bool = False,
    ) -> Events:
        """Finds events, newest first. Sees everything that was recorded before, in all slots, and is itself recorded, as
        ``trail.read``. In ``action``, ``*`` is any text; ``outcome="none"`` finds events that name none. A personal value
        is the text ``erasable``, or itself with ``personal=True``, unless its person was ``erased``."""
    def page(
        self,
        *,
        limit: int = 50,
        order: Order = "desc",
        order_by: OrderBy = "time",
        cursor: str | None = None,
        **filters: Any,
    ) -> Page:
        """As ``query``, one page at a time: for interfaces with cursors. Takes the filters of ``query``."""
    def count(self, **filters: Any) -> int:
        """How many events there are."""
    def get(self, id: str | UUID, *, personal: bool = False) -> EventDict | None:
        """The event with this id; of several, the newest."""
    def history(self, resource: Resource, *, personal: bool = False) -> Events:
        """One resource's life, oldest first, with what changed each time. ``resource`` is ``"TYPE/ID"``,
        ``(type, id)``, or what ``record`` took."""
    def summary(self, *, top: int = 10, bucket: timedelta | str | None = None, **filters: Any) -> dict[str, Any]:
        """How many events there are of each kind, and over time."""
    def tail(self, n: int = 10, *, follow: bool = False, poll_seconds: float = 0.1, **filters: Any) -> Events:
        """The newest events, oldest of them first; with ``follow`` also those that come, as soon as they are on disk."""
    def export(self, **filters: Any) -> Events:
        """All events in the order in which they were recorded."""
    def export_to(self, out: str | PathLike[str], *, format: ExportFormat, **filters: Any) -> int:
        """Writes events to a file, and returns how many. A ``bundle`` can be verified anywhere."""
    def erase(self, subject: Id, *, dry_run: bool = False) -> dict[str, Any]:
        """Erases a person from this process's trail: destroys the keys of their personal values, for ever; every proof
        stays valid. Returns what ``trailseal erase --json`` prints; with ``dry_run`` what would be reached, and what not."""
    def verify(self, *, public_keys: Sequence[str] = ..., checkpoints: Sequence[str] = ...) -> dict[str, Any]:
        """Verifies the whole trail against its newest signed checkpoint; the keys of the answer are those of
        ``trailseal verify --json``. Damage is no exception: it is in the answer. With slots, ``trails`` has one answer
        for each."""
    def checkpoint(self) -> str:
        """The newest signed checkpoint of this process's trail, to be kept elsewhere: a rollback is found by it."""
    def prove(self, event: int | str | Receipt) -> str:
        """The proof that an event (its index, its id, its receipt) is in the trail: ``trailseal verify --proof`` checks it
        without the trail."""
    def stats(self) -> dict[str, Any]:
        """Numbers about this process's trail: ``accepted``, ``durable``, ``sealed`` (watermarks),
        ``handoff_used_bytes``, ``handoff_bytes``, ``refused``, ``unconfirmed``, ``sampled_out``, ``off``, ``masked``,
        ``warnings``, ``seal_trouble``, ``sinks``."""
    def policy(self) -> str:
        """The policy in force, as TOML."""
    def set_policy(self, policy: str) -> None:
        """Puts a policy in force, as TOML, and records the change. It is kept across restarts."""
    def set_mode(self, mode: Mode, *, rate: float | None = None) -> None:
        """Changes the mode for events that match no rule, and records the change. It is kept across restarts."""
    def rotate_key(self) -> str:
        """Replaces the key that signs this process's trail, and records that. The old key vouches for the new one, which
        is returned in signed-note form. Waits until the rotation is sealed."""
    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until everything accepted so far is on disk; ``False`` if that took longer. Raises ``TrailsealError`` where
        waiting does not help, and says why: the disk does not accept lines, for example."""
    def seal(self, timeout: float = 10.0) -> bool:
        """Waits until everything accepted so far is covered by a signed checkpoint; ``False`` if that took longer. Raises
        ``TrailsealError`` where something is wrong, and says what."""
    def close(self, timeout: float = 10.0) -> None:
        """Stops accepting, makes everything accepted durable, seals it, and gives the folder free. Closing again does
        nothing. Raises ``TrailsealError`` if time runs out; what was accepted stays in the folder and is recovered at the
        next opening."""
    def serve(
        self,
        listen: str = "127.0.0.1:0",
        *,
        open: bool = False,
        config: str | PathLike[str] | None = None,
        **settings: Any,
    ) -> Server:
        """Starts the HTTP interface and the viewer in threads of their own. ``open=True`` asks for no token, and answers
        only requests to loopback. Settings are those of ``[server]``."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]:
        """A trail that is sent to another process is opened there, by its folder and settings."""

def run_command(arguments: Sequence[str]) -> int:
    """The command ``trailseal``; returns its exit code."""

def outbox_schema() -> str: ...
def to_json(value: Any) -> str:
    """A value as ``record`` would write it, without masking."""

def fork_generation() -> int:
    """How often this process was forked, as far as the core has seen."""
