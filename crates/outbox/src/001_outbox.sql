-- The outbox: audit events that commit, or are rolled back, with the change that they tell of. It belongs into the application's own
-- database. A relay takes its rows over into a trail, and then deletes them.
--
-- Whoever writes needs USAGE on the schema and INSERT on the columns id, event and masked of `events`, and must have nothing else: the
-- other columns belong to the relay.
--
--     INSERT INTO trailseal_outbox.events (event) VALUES ('{"action":"invoice.pay","actor":"u1"}')

CREATE SCHEMA trailseal_outbox;

CREATE TABLE trailseal_outbox.events (
    -- In the order of writing: an event whose transaction had ended before another one was written comes before that.
    place       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- By which the event is recorded once, unless it has an id itself.
    id          text COLLATE "C" NOT NULL DEFAULT gen_random_uuid()::text CHECK (id <> ''),
    event       text NOT NULL, -- JSON
    -- What was masked before it was written.
    masked      text[] NOT NULL DEFAULT '{}'
                CHECK (coalesce(array_ndims(masked), 1) = 1 AND array_position(masked, NULL) IS NULL),
    -- Its time, unless it has one itself.
    written     timestamptz NOT NULL DEFAULT clock_timestamp()
                CHECK (written >= '0001-01-01 00:00:00+00' AND written < '10000-01-01 00:00:00+00'),
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- The trail that takes it over. From then on no other one does: only this trail knows whether it has it.
    origin      text COLLATE "C",
    -- 8 MiB, which is what a relay reads at once. It counts the same way.
    CONSTRAINT events_size CHECK (octet_length(id)::bigint + octet_length(event)
        + octet_length(array_to_string(masked, '')) + 32 * cardinality(masked) <= 8388608)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

-- What cannot be recorded as it is, and why.
CREATE TABLE trailseal_outbox.refused (
    key     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    place   bigint NOT NULL, -- the one that it had among the events
    id      text COLLATE "C" NOT NULL,
    event   text NOT NULL,
    masked  text[] NOT NULL,
    written timestamptz NOT NULL,
    origin  text COLLATE "C" NOT NULL,
    reason  text NOT NULL,
    refused timestamptz NOT NULL DEFAULT now()
);

-- A relay locks the row of version 1 while it claims. That takes UPDATE on this table, so nobody else can hold it up.
CREATE TABLE trailseal_outbox.migrations (
    version integer PRIMARY KEY,
    applied timestamptz NOT NULL DEFAULT now()
);
INSERT INTO trailseal_outbox.migrations (version) VALUES (1);
