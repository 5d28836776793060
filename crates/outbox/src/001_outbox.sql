-- The outbox: audit events that commit, or are rolled back, with the change that they tell of. It belongs into the application's own
-- database. A relay takes its rows over into a trail, and then deletes them.
--
-- Whoever writes needs USAGE on the schema and INSERT on `events`, and nothing else:
--
--     INSERT INTO trailseal_outbox.events (event) VALUES ('{"action":"invoice.pay","actor":"u1"}')

CREATE SCHEMA trailseal_outbox;

CREATE TABLE trailseal_outbox.events (
    -- In the order of writing: an event whose transaction had ended before another one was written comes before that.
    place       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- By which the event is recorded once, unless it has an id itself.
    id          text COLLATE "C" NOT NULL DEFAULT gen_random_uuid()::text CHECK (id <> ''),
    event       text NOT NULL, -- JSON
    masked      text[] NOT NULL DEFAULT '{}', -- what was masked before it was written
    written     timestamptz NOT NULL DEFAULT clock_timestamp(), -- its time, unless it has one itself
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- The trail that takes it over. From then on no other one does: only this trail knows whether it has it.
    origin      text COLLATE "C"
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

-- What cannot be recorded as it is, and why.
CREATE TABLE trailseal_outbox.refused (
    place   bigint PRIMARY KEY,
    id      text COLLATE "C" NOT NULL,
    event   text NOT NULL,
    masked  text[] NOT NULL,
    written timestamptz NOT NULL,
    origin  text COLLATE "C" NOT NULL,
    reason  text NOT NULL,
    refused timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE trailseal_outbox.migrations (
    version integer PRIMARY KEY,
    applied timestamptz NOT NULL DEFAULT now()
);
INSERT INTO trailseal_outbox.migrations (version) VALUES (1);
