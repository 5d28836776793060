-- Separate roles for Trailseal's store. Run this in the store's database as the owner of the schema trailseal, if that
-- role may also create roles, or as a superuser:
--
--     trailseal store roles | psql --set ON_ERROR_STOP=1 "$URL"
--
-- It may be run again at any time. The roles cannot log in themselves: give them to the users that do, for instance
--
--     CREATE ROLE billing LOGIN PASSWORD '…' IN ROLE {prefix}_writer;

BEGIN;

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['{prefix}_writer', '{prefix}_reader', '{prefix}_auditor', '{prefix}_retirer',
            '{prefix}_decider', '{prefix}_hold_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA trailseal FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA trailseal FROM PUBLIC;
GRANT USAGE ON SCHEMA trailseal TO {prefix}_writer, {prefix}_reader, {prefix}_auditor, {prefix}_retirer,
    {prefix}_decider, {prefix}_hold_reader;

-- Writers deliver. They add rows and checkpoints, and move cursors; what is there they can neither read, change nor remove.
-- INSERT on the parent gives them nothing by itself (no policy lets them), but each new partition is opened to whoever has it.
GRANT INSERT ON trailseal.events TO {prefix}_writer;
GRANT SELECT, INSERT, UPDATE ON trailseal.cursors, trailseal.extents TO {prefix}_writer;
GRANT SELECT, INSERT ON trailseal.checkpoints TO {prefix}_writer;
GRANT SELECT ON trailseal.migrations TO {prefix}_writer;
GRANT EXECUTE ON FUNCTION trailseal.make_partition(timestamptz) TO {prefix}_writer;
-- They keep the lists of what their trails have retired, and the leaf hashes of it. That removes nothing.
GRANT SELECT ON trailseal.retired_lists, trailseal.retired_leaves, trailseal.retiring TO {prefix}_writer;
GRANT EXECUTE ON FUNCTION trailseal.keep_retired(text, bigint, bigint, bigint, bytea, bigint, bigint, bytea, bytea) TO {prefix}_writer;
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = 'trailseal.events'::regclass LOOP
        EXECUTE format('GRANT INSERT ON %s TO {prefix}_writer', part);
    END LOOP;
END $$;

-- Readers see the events of their tenants, and none without a tenant:
--     INSERT INTO trailseal.readers (role, tenant) VALUES ('support', 'acme');
-- The name is that of the user who logs in.
GRANT SELECT ON trailseal.events, trailseal.extents, trailseal.cursors, trailseal.migrations, trailseal.retired_lists
    TO {prefix}_reader;

-- Auditors see everything, and can verify it: `trailseal verify --store`.
GRANT SELECT ON trailseal.events, trailseal.extents, trailseal.cursors, trailseal.checkpoints, trailseal.migrations,
    trailseal.readers, trailseal.dropped, trailseal.retired_lists, trailseal.retired_leaves,
    trailseal.retired_ids TO {prefix}_auditor;
DROP POLICY IF EXISTS {prefix}_all ON trailseal.events;
CREATE POLICY {prefix}_all ON trailseal.events FOR SELECT TO {prefix}_auditor USING (true);

-- Whoever retires drops what trails have retired, by `trailseal store retire`: rows of which a list is kept that an event of the
-- trail names. Writers may not: the database cannot check who signed that event, and a writer could add a forged one, even of
-- another trail. `store retire` checks it.
-- They can also drop a partition whose time is over, retired or not, and only that:
--     SELECT trailseal.drop_partition('events_2019_01');
-- `trailseal verify --store` then reports its events as missing; trailseal.dropped says who did it.
GRANT SELECT ON trailseal.extents, trailseal.dropped, trailseal.migrations, trailseal.checkpoints, trailseal.retiring,
    trailseal.retired_lists TO {prefix}_retirer;
GRANT EXECUTE ON FUNCTION trailseal.drop_partition(text), trailseal.drop_retired(text, jsonb),
    trailseal.retiring_partitions(text), trailseal.drop_retired_partition(text, jsonb),
    trailseal.retiring_line(text, bigint) TO {prefix}_retirer;

-- Servers decide: tokens, legal holds, reviews and the policy that was set at run time. A server's user is in this role and in
-- that of writers. Whoever has it can make a token that may do everything: give it to no application.
GRANT SELECT, UPDATE ON trailseal.versions TO {prefix}_decider;
GRANT SELECT, INSERT, UPDATE ON trailseal.decisions, trailseal.reviews, trailseal.review_cursors TO {prefix}_decider;
GRANT SELECT, INSERT, UPDATE, DELETE ON trailseal.tokens TO {prefix}_decider;
GRANT SELECT, INSERT, DELETE ON trailseal.holds TO {prefix}_decider;
GRANT SELECT, INSERT ON trailseal.policies TO {prefix}_decider;
-- They let each other know by which keys they sign viewer tokens, and how far they have looked for flags.
GRANT SELECT, INSERT, UPDATE, DELETE ON trailseal.viewer_keys TO {prefix}_decider;
GRANT SELECT, INSERT, UPDATE ON trailseal.flag_cursors TO {prefix}_decider;
GRANT SELECT ON trailseal.migrations TO {prefix}_decider;
-- Commands that retire or erase must know what is held, and decide nothing: `retain`, `erase`, `hold list`. A writer's user that runs
-- them is in this role too. It is not in that of writers itself: a server whose user may only read what was decided must not start.
GRANT SELECT ON trailseal.holds, trailseal.decisions, trailseal.versions, trailseal.migrations TO {prefix}_hold_reader;
-- Auditors see what was decided, and no token.
GRANT SELECT ON trailseal.decisions, trailseal.reviews, trailseal.holds, trailseal.policies TO {prefix}_auditor;

COMMIT;
