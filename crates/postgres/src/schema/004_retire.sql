-- Retirement: rows that a trail has retired go from the store too, by the same lists, and what proves that stays.
--
-- A trail's writer keeps lists and leaf hashes here (`keep_retired`); rows go only after that, in steps, each of them one
-- transaction (`drop_retired`), or a whole partition at once (`drop_retired_partition`). Every function looks for itself whether
-- an event `trail.retired` that lies in the store, and that a checkpoint in the store covers, names the list. Signatures it cannot
-- check: that is for whoever calls, and for `trailseal verify --store`.

-- The lists of retired ranges, as they lie beside the segments of the trail, in parts: what one event added to that of a segment.
-- All parts up to one, one behind the other, have the SHA-256 that its event names for so many bytes.
CREATE TABLE trailseal.retired_lists (
    origin  text COLLATE "C",
    segment bigint,                     -- the first index of the segment
    bytes   bigint,                     -- of the list with this part
    event   bigint      NOT NULL,       -- the index of the event `trail.retired`
    list    bytea       NOT NULL,
    stored  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (origin, segment, bytes)
);

-- The leaf hashes of the indexes that a part names, from one index to before another, 32 bytes each in the order of the indexes.
CREATE TABLE trailseal.retired_leaves (
    origin   text COLLATE "C",
    segment  bigint,
    bytes    bigint,
    from_idx bigint,
    to_idx   bigint NOT NULL,
    leaves   bytea  NOT NULL,
    PRIMARY KEY (origin, segment, bytes, from_idx)
);
ALTER TABLE trailseal.retired_leaves ALTER COLUMN leaves SET STORAGE EXTERNAL; -- hashes do not get smaller

-- The ids that went with a part, as hashes: sorted entries of 28 bytes, so many of them together, under the first.
CREATE TABLE trailseal.retired_ids (
    origin  text COLLATE "C",
    segment bigint,
    bytes   bigint,
    head    bytea,
    entries bytea NOT NULL,
    PRIMARY KEY (origin, segment, bytes, head)
);
ALTER TABLE trailseal.retired_ids ALTER COLUMN entries SET STORAGE EXTERNAL;

-- Parts of which all leaf hashes are kept, and whose rows from next_idx on are still to be dropped.
CREATE TABLE trailseal.retiring (
    origin   text COLLATE "C",
    segment  bigint,
    bytes    bigint,
    next_idx bigint NOT NULL,
    PRIMARY KEY (origin, segment, bytes)
);

-- The rows that a transaction drops just now. Empty to everybody else.
CREATE TABLE trailseal.retiring_now (
    transaction xid8 PRIMARY KEY,
    origin      text COLLATE "C" NOT NULL,
    first_idx   bigint           NOT NULL,
    last_idx    bigint           NOT NULL
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON trailseal.retired_lists
    FOR EACH ROW EXECUTE FUNCTION trailseal.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trailseal.retired_lists
    FOR EACH STATEMENT EXECUTE FUNCTION trailseal.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON trailseal.retired_leaves
    FOR EACH ROW EXECUTE FUNCTION trailseal.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trailseal.retired_leaves
    FOR EACH STATEMENT EXECUTE FUNCTION trailseal.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON trailseal.retired_ids
    FOR EACH ROW EXECUTE FUNCTION trailseal.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trailseal.retired_ids
    FOR EACH STATEMENT EXECUTE FUNCTION trailseal.refuse_change();

-- As before, but rows of events may go in a step of `drop_retired`, which alone can say so: the table is its owner's.
CREATE OR REPLACE FUNCTION trailseal.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_SCHEMA = 'trailseal' AND TG_TABLE_NAME LIKE 'events\_%' THEN
        PERFORM FROM trailseal.retiring_now
            WHERE transaction = pg_current_xact_id() AND origin = OLD.origin
              AND OLD.idx BETWEEN first_idx AND last_idx;
        IF FOUND THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% refused: what is in %.% is only ever added to', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- The ranges of a list: half-open, one a line.
CREATE FUNCTION trailseal.ranges_of(list bytea) RETURNS TABLE (from_idx bigint, to_idx bigint)
LANGUAGE sql IMMUTABLE AS $$
    SELECT split_part(line, ' ', 1)::bigint, split_part(line, ' ', 2)::bigint
    FROM string_to_table(convert_from(list, 'UTF8'), E'\n') AS line WHERE line <> ''
$$;

-- The indexes that a list names from one on to before another, ascending; at most 65,536.
CREATE FUNCTION trailseal.indexes_of(list bytea, from_index bigint, to_index bigint) RETURNS bigint[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(idx ORDER BY idx) FROM (
        SELECT DISTINCT idx FROM trailseal.ranges_of(list) AS range,
            generate_series(greatest(range.from_idx, from_index), least(range.to_idx, to_index) - 1) AS idx
        LIMIT 65537
    ) AS named
$$;

CREATE FUNCTION trailseal.leaves_of(leaves bytea) RETURNS bytea[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(substring(leaves FROM 32 * number + 1 FOR 32) ORDER BY number)
    FROM generate_series(0, octet_length(leaves) / 32 - 1) AS number
$$;

-- The whole list of a segment up to this part.
CREATE FUNCTION trailseal.list_up_to(of_origin text, of_segment bigint, up_to bigint) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(list, '' ORDER BY bytes), '') FROM trailseal.retired_lists
    WHERE origin = of_origin AND segment = of_segment AND bytes <= up_to
$$;

-- What an event `trail.retired` of the trail's own, which a checkpoint covers, says of this list of a segment; NULL if there is no
-- such event, or more than one row claims to be it. Without a look at the signature.
CREATE FUNCTION trailseal.announced(of_origin text, of_segment bigint, of_event bigint, of_bytes bigint, whole bytea) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    row_count bigint;
    text_of_line text;
    found json;
BEGIN
    SELECT count(*), min(convert_from(line, 'UTF8')) FILTER (WHERE system AND action = 'trail.retired')
        INTO row_count, text_of_line FROM trailseal.events WHERE origin = of_origin AND idx = of_event;
    IF row_count <> 1 OR text_of_line IS NULL OR octet_length(whole) <> of_bytes THEN
        RETURN NULL;
    END IF;
    IF text_of_line !~ format('^\{"v":1,"index":%s,"recorded":"[^"]*","system":true,', of_event)
        OR NOT EXISTS (SELECT FROM trailseal.checkpoints WHERE origin = of_origin AND size > of_event) THEN
        RETURN NULL;
    END IF;
    SELECT named INTO found FROM json_array_elements(text_of_line::json #> '{details,segments}') AS named
        WHERE text_of_line::json ->> 'action' = 'trail.retired'
          AND (named ->> 'first')::bigint = of_segment
          AND (named ->> 'bytes')::bigint = of_bytes
          AND named ->> 'sha256' = encode(sha256(whole), 'hex') LIMIT 1;
    RETURN found;
END $$;

-- By what a caller who has checked signatures names a list that it trusts: an array of these for each origin, in an object.
CREATE FUNCTION trailseal.is_trusted(trusted jsonb, of_origin text, of_segment bigint, whole bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT trusted IS NULL
        OR coalesce(trusted -> of_origin ? format('%s:%s:%s', of_segment, octet_length(whole), encode(sha256(whole), 'hex')), false)
$$;

-- The partitions that have rows of an origin between two indexes. The table of extents is not asked: writers may change it.
CREATE FUNCTION trailseal.partitions_with(of_origin text, first_index bigint, last_index bigint) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text;
    lowest bigint;
    highest bigint;
BEGIN
    FOR part IN SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'trailseal.events'::regclass
    LOOP
        EXECUTE format('SELECT min(idx), max(idx) FROM trailseal.%I WHERE origin = $1', part)
            INTO lowest, highest USING of_origin;
        IF lowest <= last_index AND highest >= first_index THEN
            RETURN NEXT part;
        END IF;
    END LOOP;
END $$;

-- The first of these rows that does not have the leaf hash that it must have; NULL if there is none. Rows that are gone have none.
CREATE FUNCTION trailseal.other_row(of_origin text, indexes bigint[], leaves bytea[]) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text;
    other bigint;
    first_other bigint;
BEGIN
    FOR part IN SELECT trailseal.partitions_with(of_origin, indexes[1], indexes[array_upper(indexes, 1)]) LOOP
        EXECUTE format('SELECT min(event.idx) FROM trailseal.%I AS event JOIN unnest($2, $3) AS kept (idx, leaf) USING (idx) '
            'WHERE event.origin = $1 AND event.idx = ANY ($2) AND event.leaf <> kept.leaf', part)
            INTO other USING of_origin, indexes, leaves;
        first_other := least(first_other, other);
    END LOOP;
    RETURN first_other;
END $$;

-- Keeps a part of a list, and leaf hashes of it: those of the indexes from one on to before another; with the last of them the ids,
-- if there are any. Nothing goes. What became of it: `kept`; `not announced`, as long as the event or a checkpoint that covers it is not here; `not next`, if other hashes come
-- before; `list differs`, if the store keeps another part of that place; `leaf differs`, if the row of index `at` has another;
-- `ids differ`, if they are not those that the event names.
CREATE FUNCTION trailseal.keep_retired(
    of_origin text, of_segment bigint, of_bytes bigint, of_event bigint, part bytea, from_index bigint, to_index bigint,
    hashes bytea, ids bytea, OUT outcome text, OUT at bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    indexes bigint[];
    there bytea;
    next_index bigint;
    named json;
BEGIN
    -- One at a time, and not while rows are added.
    PERFORM FROM trailseal.cursors WHERE origin = of_origin FOR UPDATE;
    SELECT list INTO there FROM trailseal.retired_lists
        WHERE origin = of_origin AND segment = of_segment AND bytes = of_bytes;
    IF there <> part THEN
        outcome := 'list differs';
        RETURN;
    END IF;
    named := trailseal.announced(of_origin, of_segment, of_event, of_bytes,
        trailseal.list_up_to(of_origin, of_segment, of_bytes - octet_length(part)) || part);
    IF named IS NULL THEN
        outcome := 'not announced';
        RETURN;
    END IF;
    IF encode(sha256(ids), 'hex') <> coalesce(named ->> 'ids_sha256', '') THEN
        outcome := 'ids differ';
        RETURN;
    END IF;
    SELECT coalesce((SELECT max(to_idx) FROM trailseal.retired_leaves
        WHERE origin = of_origin AND segment = of_segment AND bytes = of_bytes), min(from_idx))
        INTO next_index FROM trailseal.ranges_of(part);
    indexes := trailseal.indexes_of(part, from_index, to_index);
    IF from_index <> next_index OR cardinality(indexes) > 65536
        OR octet_length(hashes) IS DISTINCT FROM 32 * cardinality(indexes) THEN
        outcome := 'not next';
        RETURN;
    END IF;
    at := trailseal.other_row(of_origin, indexes, trailseal.leaves_of(hashes));
    IF at IS NOT NULL THEN
        outcome := 'leaf differs';
        RETURN;
    END IF;
    INSERT INTO trailseal.retired_lists (origin, segment, bytes, event, list)
        VALUES (of_origin, of_segment, of_bytes, of_event, part) ON CONFLICT DO NOTHING;
    INSERT INTO trailseal.retired_leaves (origin, segment, bytes, from_idx, to_idx, leaves)
        VALUES (of_origin, of_segment, of_bytes, from_index, to_index, hashes);
    IF to_index >= (SELECT max(to_idx) FROM trailseal.ranges_of(part)) THEN
        INSERT INTO trailseal.retired_ids (origin, segment, bytes, head, entries)
            SELECT of_origin, of_segment, of_bytes, substring(ids FROM 7168 * number + 1 FOR 28),
                substring(ids FROM 7168 * number + 1 FOR 7168)
            FROM generate_series(0, octet_length(ids) / 7168) AS number WHERE 7168 * number < octet_length(ids);
        INSERT INTO trailseal.retiring (origin, segment, bytes, next_idx)
            SELECT of_origin, of_segment, of_bytes, min(from_idx) FROM trailseal.ranges_of(part) ON CONFLICT DO NOTHING;
    END IF;
    outcome := 'kept';
END $$;

-- Drops the next rows of an origin whose leaf hashes are kept, and says how many. What became of it: `dropped`; `all`, if there is
-- nothing more to drop; `not announced`, if no event names the list of `segment` as the store has it; `leaf differs`, if the row of
-- index `at` is not the one whose leaf hash is kept. Then nothing went.
-- If trusted lists are given, only what these name goes.
CREATE FUNCTION trailseal.drop_retired(
    of_origin text, trusted jsonb, OUT outcome text, OUT segment bigint, OUT at bigint, OUT rows bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    work trailseal.retiring;
    part trailseal.retired_lists;
    kept trailseal.retired_leaves;
    indexes bigint[];
    leaves bytea[];
    extent text;
    gone bigint;
BEGIN
    rows := 0;
    -- Rows, extents and this change together.
    PERFORM FROM trailseal.cursors WHERE origin = of_origin FOR UPDATE;
    SELECT todo.* INTO work FROM trailseal.retiring AS todo
        WHERE origin = of_origin AND CASE
            WHEN trusted IS NULL THEN true
            ELSE trailseal.is_trusted(trusted, origin, segment, trailseal.list_up_to(origin, segment, bytes)) END
        ORDER BY segment, bytes LIMIT 1;
    IF NOT FOUND THEN
        outcome := 'all';
        RETURN;
    END IF;
    drop_retired.segment := work.segment;
    SELECT * INTO part FROM trailseal.retired_lists AS list
        WHERE list.origin = of_origin AND list.segment = work.segment AND list.bytes = work.bytes;
    -- Whoever names trusted lists has read the event itself.
    IF NOT FOUND OR trusted IS NULL AND trailseal.announced(of_origin, work.segment, part.event, work.bytes,
        trailseal.list_up_to(of_origin, work.segment, work.bytes)) IS NULL THEN
        outcome := 'not announced';
        RETURN;
    END IF;
    outcome := 'dropped';
    SELECT * INTO kept FROM trailseal.retired_leaves AS hashes
        WHERE hashes.origin = of_origin AND hashes.segment = work.segment AND hashes.bytes = work.bytes
          AND hashes.from_idx >= work.next_idx
        ORDER BY from_idx LIMIT 1;
    IF NOT FOUND THEN
        DELETE FROM trailseal.retiring AS done
            WHERE done.origin = of_origin AND done.segment = work.segment AND done.bytes = work.bytes;
        RETURN;
    END IF;
    indexes := trailseal.indexes_of(part.list, kept.from_idx, kept.to_idx);
    leaves := trailseal.leaves_of(kept.leaves);
    at := trailseal.other_row(of_origin, indexes, leaves);
    IF at IS NOT NULL OR cardinality(leaves) IS DISTINCT FROM cardinality(indexes) THEN
        outcome := 'leaf differs';
        at := coalesce(at, kept.from_idx);
        RETURN;
    END IF;
    INSERT INTO trailseal.retiring_now
        VALUES (pg_current_xact_id(), of_origin, indexes[1], indexes[array_upper(indexes, 1)]);
    FOR extent IN SELECT trailseal.partitions_with(of_origin, indexes[1], indexes[array_upper(indexes, 1)]) LOOP
        EXECUTE format('DELETE FROM trailseal.%I AS event USING unnest($2, $3) AS kept (idx, leaf) WHERE event.origin = $1 '
            'AND event.idx = ANY ($2) AND event.idx = kept.idx AND event.leaf = kept.leaf', extent)
            USING of_origin, indexes, leaves;
        GET DIAGNOSTICS gone = ROW_COUNT;
        CONTINUE WHEN gone = 0;
        rows := rows + gone;
        -- The earliest time may stay too early: then readers look where nothing is, and miss nothing.
        EXECUTE format('UPDATE trailseal.extents SET rows = rows - $1, '
            'first_idx = coalesce((SELECT min(idx) FROM trailseal.%1$I WHERE origin = $2), -1), '
            'last_idx = coalesce((SELECT max(idx) FROM trailseal.%1$I WHERE origin = $2), -1) '
            'WHERE origin = $2 AND partition = $3', extent) USING gone, of_origin, extent;
        DELETE FROM trailseal.extents WHERE origin = of_origin AND partition = extent AND first_idx = -1;
    END LOOP;
    DELETE FROM trailseal.retiring_now WHERE transaction = pg_current_xact_id();
    UPDATE trailseal.retiring AS done SET next_idx = kept.to_idx
        WHERE done.origin = of_origin AND done.segment = work.segment AND done.bytes = work.bytes;
END $$;

-- The leaf hashes that are kept of an origin's events from one index to another, by lists that events name; if trusted lists are
-- given, by these alone.
CREATE FUNCTION trailseal.kept_leaves(of_origin text, first_index bigint, last_index bigint, trusted jsonb)
RETURNS TABLE (idx bigint, leaf bytea)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH hashes AS MATERIALIZED (
        SELECT segment, bytes, from_idx, to_idx, leaves FROM trailseal.retired_leaves
        WHERE origin = of_origin AND from_idx <= last_index AND to_idx > first_index
    ),
    parts AS MATERIALIZED (
        SELECT segment, bytes, event, list, trailseal.list_up_to(of_origin, segment, bytes) AS whole
        FROM trailseal.retired_lists
        WHERE origin = of_origin AND (segment, bytes) IN (SELECT segment, bytes FROM hashes)
    ),
    named AS MATERIALIZED (
        SELECT segment, bytes, list FROM parts
        WHERE octet_length(whole) = bytes AND CASE
            WHEN trusted IS NULL THEN trailseal.announced(of_origin, segment, event, bytes, whole) IS NOT NULL
            ELSE trailseal.is_trusted(trusted, of_origin, segment, whole) END
    )
    SELECT kept.idx, kept.leaf FROM named JOIN hashes USING (segment, bytes),
        unnest(trailseal.indexes_of(list, from_idx, to_idx), trailseal.leaves_of(leaves)) AS kept (idx, leaf)
$$;

-- The partitions of which rows of an origin are still to be dropped.
CREATE FUNCTION trailseal.retiring_partitions(of_origin text) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT extent.partition
    FROM trailseal.retiring AS work
    JOIN trailseal.retired_leaves AS hashes USING (origin, segment, bytes)
    JOIN trailseal.extents AS extent USING (origin)
    WHERE work.origin = of_origin AND hashes.from_idx >= work.next_idx
      AND hashes.from_idx <= extent.last_idx AND hashes.to_idx > extent.first_idx
    ORDER BY 1
$$;

-- The lines that claim to be an event `trail.retired`, and no other: whoever drops checks who signed it, and need not see any event.
CREATE FUNCTION trailseal.retiring_line(of_origin text, of_event bigint) RETURNS SETOF bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT line FROM trailseal.events WHERE origin = of_origin AND idx = of_event AND system AND action = 'trail.retired'
$$;

-- Whether every row of a partition has the leaf hash that is kept of it.
CREATE FUNCTION trailseal.is_retired(partition_name text, trusted jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_origin text;
    lowest bigint;
    highest bigint;
    others boolean;
BEGIN
    FOR of_origin, lowest, highest IN EXECUTE format(
        'SELECT origin, min(idx), max(idx) FROM ONLY trailseal.%I GROUP BY origin', partition_name)
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM ONLY trailseal.%I AS event '
            'LEFT JOIN trailseal.kept_leaves($1, $2, $3, $4) AS kept ON kept.idx = event.idx AND kept.leaf = event.leaf '
            'WHERE event.origin = $1 AND kept.idx IS NULL)', partition_name)
            INTO others USING of_origin, lowest, highest, trusted;
        IF others THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;

-- Drops a whole partition whose month is over and of whose rows, of whichever origin, all leaf hashes are kept; if trusted lists are
-- given, by these alone. What became of it: `dropped`; `kept`, because there are others in it; `locked`, because somebody reads it: a
-- drop that waits holds up every new reader, so it waits only for a moment, and whoever calls it tries again.
CREATE FUNCTION trailseal.drop_retired_partition(partition_name text, trusted jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET timezone = 'UTC' AS $$
DECLARE
    bounds text;
    upper_bound timestamptz;
BEGIN
    SELECT pg_get_expr(relpartbound, oid) INTO bounds FROM pg_class
        WHERE oid = to_regclass(format('trailseal.%I', partition_name))
        AND oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass);
    upper_bound := substring(bounds FROM 'TO \(''([^'']+)''\)')::timestamptz;
    -- Without a lock: is it worth one?
    IF upper_bound IS NULL OR upper_bound > now() OR NOT trailseal.is_retired(partition_name, trusted) THEN
        RETURN 'kept';
    END IF;
    BEGIN
        -- Readers go on. Whoever adds rows waits, so that what is looked at is what goes.
        EXECUTE format('LOCK TABLE ONLY trailseal.%I IN SHARE MODE', partition_name);
        IF NOT trailseal.is_retired(partition_name, trusted) THEN
            RETURN 'kept';
        END IF;
        EXECUTE format('DROP TABLE trailseal.%I', partition_name);
        DELETE FROM trailseal.extents WHERE partition = partition_name;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        RETURN 'locked';
    END;
    RETURN 'dropped';
END $$;

-- As before, but the lock is on a table that only its owner can lock, and only the owner makes a partition of a far month.
CREATE OR REPLACE FUNCTION trailseal.make_partition(moment timestamptz) RETURNS text
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
        -- Only one makes it; the others find it then. Readers of that table can take no lock that is in the way.
        LOCK TABLE trailseal.migrations IN SHARE ROW EXCLUSIVE MODE;
    END LOOP;
    IF NOT (moment >= '1970-01-01 00:00+00' AND moment < now() + interval '1 year')
        AND NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = 'trailseal.events'::regclass), 'USAGE') THEN
        RAISE EXCEPTION 'no partition for %: a clock is wrong, or the owner of the tables must make it', moment
            USING ERRCODE = 'datetime_field_overflow';
    END IF;
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

REVOKE ALL ON FUNCTION trailseal.keep_retired(text, bigint, bigint, bigint, bytea, bigint, bigint, bytea, bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION trailseal.drop_retired(text, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION trailseal.retiring_line(text, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION trailseal.retiring_partitions(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION trailseal.drop_retired_partition(text, jsonb) FROM PUBLIC;
