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

-- Whether an event `trail.retired` of the trail's own, which a checkpoint covers, names this list of a segment.
CREATE FUNCTION trailseal.is_announced(of_origin text, of_segment bigint, of_event bigint, whole bytea) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    text_of_line text;
BEGIN
    SELECT convert_from(line, 'UTF8') INTO text_of_line FROM trailseal.events
        WHERE origin = of_origin AND idx = of_event LIMIT 1;
    IF text_of_line IS NULL
        OR text_of_line !~ format('^\{"v":1,"index":%s,"recorded":"[^"]*","system":true,', of_event)
        OR text_of_line::json ->> 'action' IS DISTINCT FROM 'trail.retired'
        OR NOT EXISTS (SELECT FROM trailseal.checkpoints WHERE origin = of_origin AND size > of_event) THEN
        RETURN false;
    END IF;
    PERFORM FROM json_array_elements(text_of_line::json #> '{details,segments}') AS named
        WHERE (named ->> 'first')::bigint = of_segment
          AND (named ->> 'bytes')::bigint = octet_length(whole)
          AND named ->> 'sha256' = encode(sha256(whole), 'hex');
    RETURN FOUND;
END $$;

-- The first of these rows that does not have the leaf hash that it must have; NULL if there is none. Rows that are gone have none.
CREATE FUNCTION trailseal.other_row(of_origin text, indexes bigint[], leaves bytea[]) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text;
    other bigint;
    first_other bigint;
BEGIN
    FOR part IN SELECT partition FROM trailseal.extents WHERE origin = of_origin
        AND first_idx <= indexes[array_upper(indexes, 1)] AND last_idx >= indexes[1]
    LOOP
        EXECUTE format('SELECT min(event.idx) FROM trailseal.%I AS event JOIN unnest($2, $3) AS kept (idx, leaf) USING (idx) '
            'WHERE event.origin = $1 AND event.idx = ANY ($2) AND event.leaf <> kept.leaf', part)
            INTO other USING of_origin, indexes, leaves;
        first_other := least(first_other, other);
    END LOOP;
    RETURN first_other;
END $$;

-- Keeps a part of a list, and leaf hashes of it: those of the indexes from one on to before another; with the last of them the ids,
-- if there are any. Nothing goes. What became of it: `kept`; `not announced`, as long as the event or a checkpoint that covers it is not here; `not next`, if other hashes come
-- before; `list differs`, if the store keeps another part of that place; `leaf differs`, if the row of index `at` has another.
CREATE FUNCTION trailseal.keep_retired(
    of_origin text, of_segment bigint, of_bytes bigint, of_event bigint, part bytea, from_index bigint, to_index bigint,
    hashes bytea, ids bytea, OUT outcome text, OUT at bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    indexes bigint[];
    there bytea;
    next_index bigint;
BEGIN
    -- One at a time, and not while rows are added.
    PERFORM FROM trailseal.cursors WHERE origin = of_origin FOR UPDATE;
    SELECT list INTO there FROM trailseal.retired_lists
        WHERE origin = of_origin AND segment = of_segment AND bytes = of_bytes;
    IF there <> part THEN
        outcome := 'list differs';
        RETURN;
    END IF;
    IF NOT trailseal.is_announced(of_origin, of_segment, of_event,
        trailseal.list_up_to(of_origin, of_segment, of_bytes - octet_length(part)) || part) THEN
        outcome := 'not announced';
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
-- Only what certain events announce goes, if they are given.
CREATE FUNCTION trailseal.drop_retired(
    of_origin text, of_events bigint[], OUT outcome text, OUT segment bigint, OUT at bigint, OUT rows bigint)
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
    SELECT todo.* INTO work FROM trailseal.retiring AS todo JOIN trailseal.retired_lists USING (origin, segment, bytes)
        WHERE origin = of_origin AND (of_events IS NULL OR event = ANY (of_events)) ORDER BY segment, bytes LIMIT 1;
    IF NOT FOUND THEN
        outcome := 'all';
        RETURN;
    END IF;
    drop_retired.segment := work.segment;
    SELECT * INTO part FROM trailseal.retired_lists AS list
        WHERE list.origin = of_origin AND list.segment = work.segment AND list.bytes = work.bytes;
    IF NOT FOUND OR NOT trailseal.is_announced(of_origin, work.segment, part.event,
        trailseal.list_up_to(of_origin, work.segment, work.bytes)) THEN
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
    FOR extent IN SELECT partition FROM trailseal.extents WHERE origin = of_origin
        AND first_idx <= indexes[array_upper(indexes, 1)] AND last_idx >= indexes[1]
    LOOP
        EXECUTE format('DELETE FROM trailseal.%I WHERE origin = $1 AND idx = ANY ($2)', extent) USING of_origin, indexes;
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

-- The indexes of an origin from one on to before another whose leaf hashes are kept by lists that events name.
CREATE FUNCTION trailseal.kept_indexes(of_origin text, from_index bigint, to_index bigint, of_events jsonb)
RETURNS int8multirange
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH hashes AS MATERIALIZED (
        SELECT segment, bytes, from_idx, to_idx FROM trailseal.retired_leaves
        WHERE origin = of_origin AND from_idx < to_index AND to_idx > from_index
    ),
    parts AS MATERIALIZED (
        SELECT segment, bytes, event, list FROM trailseal.retired_lists
        WHERE origin = of_origin AND (segment, bytes) IN (SELECT segment, bytes FROM hashes)
    ),
    announced AS MATERIALIZED (
        SELECT segment, bytes, list FROM parts
        WHERE (of_events IS NULL OR of_events -> of_origin @> to_jsonb(event))
          AND trailseal.is_announced(of_origin, segment, event, trailseal.list_up_to(of_origin, segment, bytes))
    )
    SELECT coalesce(range_agg(int8range(greatest(range.from_idx, hashes.from_idx), least(range.to_idx, hashes.to_idx))), '{}')
        * int8multirange(int8range(from_index, to_index))
    FROM announced JOIN hashes USING (segment, bytes), trailseal.ranges_of(list) AS range
    WHERE range.from_idx < hashes.to_idx AND range.to_idx > hashes.from_idx
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

-- The line of an event `trail.retired`, and of no other: whoever drops checks who signed it, and need not see any event.
CREATE FUNCTION trailseal.retiring_line(of_origin text, of_event bigint) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT line FROM trailseal.events WHERE origin = of_origin AND idx = of_event AND system AND action = 'trail.retired' LIMIT 1
$$;

-- Drops a whole partition whose month is over and of whose rows, of whichever origin, all leaf hashes are kept. Only what certain
-- events announce counts, if they are given: an object of arrays, by origin. What became of it:
-- `dropped`; `kept`, because there are others in it; `locked`, because somebody reads it: a drop that waits holds up every new
-- reader, so it waits only for a moment, and whoever calls it tries again.
CREATE FUNCTION trailseal.drop_retired_partition(partition_name text, of_events jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET timezone = 'UTC' AS $$
DECLARE
    bounds text;
    upper_bound timestamptz;
    origins text[] := '{}';
    extent trailseal.extents;
    kept int8multirange;
    held bigint;
    others boolean;
BEGIN
    SELECT pg_get_expr(relpartbound, oid) INTO bounds FROM pg_class
        WHERE oid = to_regclass(format('trailseal.%I', partition_name))
        AND oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass);
    upper_bound := substring(bounds FROM 'TO \(''([^'']+)''\)')::timestamptz;
    IF upper_bound IS NULL OR upper_bound > now() THEN
        RETURN 'kept';
    END IF;
    -- Without a lock: is it worth one?
    FOR extent IN SELECT * FROM trailseal.extents WHERE partition = partition_name LOOP
        kept := trailseal.kept_indexes(extent.origin, extent.first_idx, extent.last_idx + 1, of_events);
        SELECT coalesce(sum(upper(range) - lower(range)), 0) INTO held FROM unnest(kept) AS range;
        IF held < extent.rows THEN
            RETURN 'kept';
        END IF;
    END LOOP;
    BEGIN
        -- Readers go on. Whoever adds rows waits, so that what is looked at is what goes.
        EXECUTE format('LOCK TABLE ONLY trailseal.%I IN SHARE MODE', partition_name);
        FOR extent IN SELECT * FROM trailseal.extents WHERE partition = partition_name LOOP
            origins := origins || extent.origin;
            kept := trailseal.kept_indexes(extent.origin, extent.first_idx, extent.last_idx + 1, of_events);
            EXECUTE format('SELECT EXISTS (SELECT FROM ONLY trailseal.%I WHERE origin = $1 AND NOT idx <@ $2)', partition_name)
                INTO others USING extent.origin, kept;
            IF others THEN
                RETURN 'kept';
            END IF;
        END LOOP;
        EXECUTE format('SELECT EXISTS (SELECT FROM ONLY trailseal.%I WHERE origin <> ALL ($1))', partition_name)
            INTO others USING origins;
        IF others THEN
            RETURN 'kept';
        END IF;
        EXECUTE format('DROP TABLE trailseal.%I', partition_name);
        DELETE FROM trailseal.extents WHERE partition = partition_name;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        RETURN 'locked';
    END;
    RETURN 'dropped';
END $$;

REVOKE ALL ON FUNCTION trailseal.keep_retired(text, bigint, bigint, bigint, bytea, bigint, bigint, bytea, bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION trailseal.drop_retired(text, bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION trailseal.retiring_line(text, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION trailseal.retiring_partitions(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION trailseal.drop_retired_partition(text, jsonb) FROM PUBLIC;
