"""SQLAlchemy 2: changes of marked models become events with before and after, if their transaction commits.

::

    from trailseal.sqlalchemy import audited, record_changes

    @audited(tenant="tenant_id")
    class Invoice(Base): ...

    record_changes(Session, trail)     # a sessionmaker, an async_sessionmaker, a Session class or a scoped_session

An INSERT, UPDATE or DELETE of one object becomes ``invoice.create``, ``invoice.update`` or ``invoice.delete`` of
the resource ``invoice/<primary key>``; so does each row that ``update()``, ``delete()`` and ``insert()`` touch, up
to a limit, and what lies beyond it is counted. The events of a transaction are recorded as one, right after
COMMIT. What a savepoint took back is left out.

What these hooks cannot see: ``Session.bulk_save_objects``, ``bulk_insert_mappings`` and ``bulk_update_mappings``,
and statements on a ``Connection``, unless ``record_statements(engine, trail)`` watches the engine, too;
``text()``, rows that the database changes by itself (``ON DELETE CASCADE``, triggers), rows of a ``secondary``
table, and foreign keys of ``post_update`` relationships. A process that ends between COMMIT and the recording,
some microseconds later, loses the events of that transaction; ``record_changes(Session, Outbox(trail))`` rules that out.
"""

from .marks import audited
from .statements import record_statements
from .watch import record_changes

__all__ = ["audited", "record_changes", "record_statements"]
