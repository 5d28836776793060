"""Where the hooks are hung."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Mapper, Session, SessionTransaction, scoped_session, sessionmaker

from .. import Trail
from ..outbox import Outbox
from . import flush
from .bulk import do_orm_execute
from .pending import pending_of, watch

_MAPPER_HOOKS = ("before_insert", "after_insert", "before_update", "after_update", "before_delete", "after_delete")
_are_mappers_watched = False


def record_changes(sessions: Any, trail: Trail | Outbox, *, wait_for_outer: bool = True) -> None:
    """From now on changes of models that are marked by :func:`audited`, made by these sessions, become events of
    the trail when their transaction commits. ``sessions`` is a ``sessionmaker``, an ``async_sessionmaker``, a
    class of sessions, a ``scoped_session`` or one session. Call it after other ``do_orm_execute`` hooks that
    change statements are set.

    Given an :class:`~trailseal.outbox.Outbox` instead of a trail, the events are written into the transaction itself, and
    a relay records them after the COMMIT: no process that ends can lose them. That needs PostgreSQL.

    If the trail refuses the events, ``commit()`` raises what it says; the transaction is committed then. A policy
    with
    ``on_failure = "allow"`` counts it instead.

    A session that is joined to a transaction of a connection (``Session(bind=connection)``) need not be the one that
    commits it. Its events wait for the connection's COMMIT, also after the session was closed, and are recorded
    just before it; a savepoint or a rollback around them that takes the change back takes its events along. Tests that
    always roll that back say ``wait_for_outer=False``: then they are recorded when the session commits.
    """
    global _are_mappers_watched
    if not _are_mappers_watched:
        _are_mappers_watched = True
        for name in _MAPPER_HOOKS:
            event.listen(Mapper, name, getattr(flush, name))
    target = _target(sessions)

    def after_transaction_create(session: Session, transaction: SessionTransaction) -> None:
        watch(session, trail, wait_for_outer)

    event.listen(target, "after_transaction_create", after_transaction_create)
    event.listen(target, "after_commit", _after_commit)
    event.listen(target, "after_transaction_end", _after_transaction_end)
    event.listen(target, "do_orm_execute", do_orm_execute)


def _target(sessions: Any) -> Any:
    """What the hooks of synchronous sessions can be hung on."""
    if isinstance(sessions, sessionmaker | Session | scoped_session):
        return sessions
    if isinstance(sessions, type) and issubclass(sessions, Session):
        return sessions
    if isinstance(sync := getattr(sessions, "sync_session", None), Session):
        return sync
    if hasattr(sessions, "configure") and hasattr(sessions, "kw"):
        return _of_async(sessions)
    raise TypeError(
        f"{sessions!r} makes no sessions: give a sessionmaker, an async_sessionmaker, a Session class or a session"
    )


def _of_async(maker: Any) -> Any:
    """The class behind an ``async_sessionmaker``: one of its own, so that no other maker's sessions are
    watched."""
    behind = maker.kw.get("sync_session_class") or maker.class_.sync_session_class
    if isinstance(behind, sessionmaker):
        return behind
    audited: type[Session] = type("AuditedSession", (behind,), {})
    maker.configure(sync_session_class=audited)
    return audited


def _after_commit(session: Session) -> None:
    pending = pending_of(session)
    if pending is not None:
        pending.committed(session)


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    pending = pending_of(session)
    if pending is not None:
        pending.end(transaction)
