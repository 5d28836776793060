-- The shared store: the events of many trails, each known by its origin.
--
-- Everything of one origin lies together (rows, cursor, checkpoints), and nothing is numbered across origins, so that a
-- distributed PostgreSQL can take this with the origin as the distribution column. No extension is needed.
--
-- `line` is the event, byte for byte. Every other column only serves searching: text without NUL, cut to 1,024 bytes.

CREATE TABLE trailseal.events (
    origin         text COLLATE "C" NOT NULL,
    idx            bigint           NOT NULL,
    recorded       timestamptz      NOT NULL,
    time           timestamptz      NOT NULL, -- the effective time: never later than recorded
    id             text COLLATE "C",
    tenant         text COLLATE "C",
    category       text COLLATE "C",
    action         text COLLATE "C" NOT NULL,
    resource_type  text COLLATE "C",
    resource_id    text COLLATE "C",
    resource_name  text COLLATE "C",
    related        text[] COLLATE "C",        -- TYPE/ID, TYPE/NAME and TYPE/ of each; NULL if there are none
    outcome        text COLLATE "C",
    severity       text COLLATE "C",
    actor_id       text COLLATE "C",
    actor_name     text COLLATE "C",
    on_behalf_of   text COLLATE "C",
    ip             text COLLATE "C",
    request_id     text COLLATE "C",
    correlation_id text COLLATE "C",
    session_id     text COLLATE "C",
    trace_id       text COLLATE "C",
    system         boolean          NOT NULL, -- made by the trail itself
    leaf           bytea            NOT NULL, -- the hash of the line in its trail's tree
    line           bytea            NOT NULL,
    PRIMARY KEY (origin, idx, recorded)
) PARTITION BY RANGE (recorded);

-- Lines over about 2 KiB are compressed, by lz4 if the server was built with it.
DO $$
BEGIN
    ALTER TABLE trailseal.events ALTER COLUMN line SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END $$;

CREATE INDEX events_time     ON trailseal.events (time);
CREATE INDEX events_recorded ON trailseal.events (recorded);
CREATE INDEX events_tenant   ON trailseal.events (tenant, time);
CREATE INDEX events_actor    ON trailseal.events (actor_id, time, tenant);
CREATE INDEX events_resource ON trailseal.events (resource_id, time, tenant);
CREATE INDEX events_action   ON trailseal.events (action, time, tenant);
CREATE INDEX events_correlation   ON trailseal.events USING hash (correlation_id);
CREATE INDEX events_request       ON trailseal.events USING hash (request_id);
CREATE INDEX events_id            ON trailseal.events USING hash (id);
CREATE INDEX events_actor_name    ON trailseal.events USING hash (actor_name);
CREATE INDEX events_resource_name ON trailseal.events USING hash (resource_name);
-- TYPE/ID may also be a type with a slash in it. Other types cost nothing here.
CREATE INDEX events_slashed_type  ON trailseal.events (resource_type, time) WHERE resource_type LIKE '%/%';
CREATE INDEX events_related       ON trailseal.events USING gin (related) WHERE related IS NOT NULL;

-- How far each trail has been delivered. Moved in the transaction that adds the rows.
CREATE TABLE trailseal.cursors (
    origin text COLLATE "C" PRIMARY KEY,
    next   bigint      NOT NULL, -- everything below is stored
    leaf   bytea,                -- of the last line; NULL before the first
    moved  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Which part of each trail lies in which partition. Moved together with the cursor.
CREATE TABLE trailseal.extents (
    origin    text COLLATE "C",
    partition text COLLATE "C",
    first_idx bigint      NOT NULL,
    last_idx  bigint      NOT NULL,
    min_time  timestamptz NOT NULL,
    rows      bigint      NOT NULL,
    PRIMARY KEY (origin, partition)
) WITH (fillfactor = 50);

-- Signed checkpoints of each trail, as signed notes.
CREATE TABLE trailseal.checkpoints (
    origin text COLLATE "C",
    size   bigint,
    note   bytea       NOT NULL,
    stored timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (origin, size)
);

CREATE FUNCTION trailseal.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% refused: what is in %.% is only ever added to', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- Partitions inherit the trigger of rows. That of TRUNCATE they must be given, one by one.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON trailseal.events
    FOR EACH ROW EXECUTE FUNCTION trailseal.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trailseal.events
    FOR EACH STATEMENT EXECUTE FUNCTION trailseal.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON trailseal.checkpoints
    FOR EACH ROW EXECUTE FUNCTION trailseal.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trailseal.checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION trailseal.refuse_change();

-- Makes the partition of the month (UTC) around a moment, if there is none, and returns its name. Attaching one disturbs no
-- reader and no writer, as CREATE TABLE … PARTITION OF would.
CREATE FUNCTION trailseal.make_partition(moment timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    first timestamptz := date_trunc('month', moment);
    name  text := 'events_' || to_char(first, 'YYYY_MM');
    grantee text;
BEGIN
    FOR attempt IN 1..2 LOOP
        -- Not by to_regclass, which may remember from before the lock that there was none.
        PERFORM FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = 'trailseal.events'::regclass AND relname = name;
        IF FOUND THEN
            RETURN name;
        END IF;
        -- Only one makes it; the others find it then.
        PERFORM pg_advisory_xact_lock(7812737564217339500);
    END LOOP;
    EXECUTE format('CREATE TABLE trailseal.%I (LIKE trailseal.events INCLUDING ALL)', name);
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trailseal.%I '
        'FOR EACH STATEMENT EXECUTE FUNCTION trailseal.refuse_change()', name);
    -- Whoever may add to the whole may add to the part: writers copy straight into it.
    FOR grantee IN
        SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
        FROM pg_class, aclexplode(relacl) AS acl
        WHERE pg_class.oid = 'trailseal.events'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> relowner
    LOOP
        EXECUTE format('GRANT INSERT ON trailseal.%I TO %s', name, grantee);
    END LOOP;
    EXECUTE format('ALTER TABLE trailseal.events ATTACH PARTITION trailseal.%I FOR VALUES FROM (%L) TO (%L)',
        name, first, first + interval '1 month');
    RETURN name;
END $$;

REVOKE ALL ON FUNCTION trailseal.make_partition(timestamptz) FROM PUBLIC;
