-- Who may see what, for roles other than the owner of these tables, whom row-level security does not touch.
--
-- It stands on the parent only: writers copy straight into partitions, where COPY would be refused under it.

-- Which tenants a role may read. `role` is the name by which somebody logs in.
CREATE TABLE trailseal.readers (
    role   text COLLATE "C",
    tenant text COLLATE "C",
    PRIMARY KEY (role, tenant)
);

-- Once a query, not once a row: the policy asks in a sub-select.
CREATE FUNCTION trailseal.my_tenants() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(tenant), '{}') FROM trailseal.readers WHERE role = session_user::text
$$;

ALTER TABLE trailseal.events ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenants ON trailseal.events FOR SELECT
    USING (tenant = ANY ((SELECT trailseal.my_tenants())::text[]));

-- What was dropped by hand, by whom and when. It explains a gap to people; it proves nothing.
CREATE TABLE trailseal.dropped (
    partition text COLLATE "C" NOT NULL,
    origin    text COLLATE "C" NOT NULL,
    first_idx bigint           NOT NULL,
    last_idx  bigint           NOT NULL,
    rows      bigint           NOT NULL,
    by_role   text             NOT NULL DEFAULT session_user,
    at        timestamptz      NOT NULL DEFAULT now()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON trailseal.dropped
    FOR EACH ROW EXECUTE FUNCTION trailseal.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trailseal.dropped
    FOR EACH STATEMENT EXECUTE FUNCTION trailseal.refuse_change();

-- Drops a whole partition whose time is over. A drop that waits holds up every new reader, so it waits only for a moment:
-- whoever calls it tries again. `trailseal verify --store` then reports its events as missing.
CREATE FUNCTION trailseal.drop_partition(partition_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET timezone = 'UTC' AS $$
DECLARE
    bounds text;
    upper_bound timestamptz;
BEGIN
    SELECT pg_get_expr(relpartbound, oid) INTO bounds FROM pg_class
        WHERE oid = to_regclass(format('trailseal.%I', partition_name))
        AND oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass);
    IF bounds IS NULL THEN
        RAISE EXCEPTION '% is no partition of trailseal.events', partition_name USING ERRCODE = 'undefined_table';
    END IF;
    upper_bound := substring(bounds FROM 'TO \(''([^'']+)''\)')::timestamptz;
    IF upper_bound IS NULL OR upper_bound > now() THEN
        RAISE EXCEPTION 'the time of % is not over', partition_name USING ERRCODE = 'object_in_use';
    END IF;
    INSERT INTO trailseal.dropped (partition, origin, first_idx, last_idx, rows)
        SELECT partition, origin, first_idx, last_idx, rows FROM trailseal.extents WHERE partition = partition_name;
    DELETE FROM trailseal.extents WHERE partition = partition_name;
    EXECUTE format('DROP TABLE trailseal.%I', partition_name);
END $$;

REVOKE ALL ON FUNCTION trailseal.drop_partition(text) FROM PUBLIC;
