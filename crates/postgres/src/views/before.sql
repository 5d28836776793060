-- Views over the shared store under the table names and columns of other audit logs. Read it first; run it as the owner of the
-- schema trailseal. It may be run again. All of it is done, or nothing.
BEGIN;

-- A line as JSON. PostgreSQL has no place for NUL. A line that is none after all, which only somebody with a superuser's
-- rights can have put there, must not stop whoever reads the others.
CREATE OR REPLACE FUNCTION trailseal.line_json(line bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN replace(convert_from(line, 'UTF8'), '\u0000', '\ufffd')::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION trailseal.as_inet(value text) RETURNS inet
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN value::inet;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- NULL for what is no UUID.
CREATE OR REPLACE FUNCTION trailseal.as_uuid(value text) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN value ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN value::uuid END
$$;

-- A key of type uuid for every event: its id if that is one, else a hash of it.
CREATE OR REPLACE FUNCTION trailseal.key_uuid(id text, origin text, idx bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(trailseal.as_uuid(id), md5(coalesce(id, origin || '#' || idx))::uuid)
$$;

-- A key of type bigint that grows with the time of recording: milliseconds since 2020, then 22 bits of index and origin.
CREATE OR REPLACE FUNCTION trailseal.key_bigint(recorded timestamptz, origin text, idx bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (greatest(extract(epoch FROM recorded) * 1000 - 1577836800000, 0)::bigint << 22)
        | ((idx + ('x' || substr(md5(origin), 1, 8))::bit(32)::bigint) & 4194303)
$$;

-- Tells a view of ours from what others have under that name.
CREATE OR REPLACE FUNCTION pg_temp.make_way(schema_name text, view_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found oid := to_regclass(format('%I.%I', schema_name, view_name));
BEGIN
    IF to_regnamespace(quote_ident(schema_name)) IS NULL THEN
        EXECUTE format('CREATE SCHEMA %I', schema_name);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO PUBLIC', schema_name);
    END IF;
    IF found IS NOT NULL AND coalesce(obj_description(found, 'pg_class'), '') NOT LIKE 'Trailseal: %' THEN
        RAISE EXCEPTION '%.% is there already, and not ours: rename it, or make the views elsewhere with --schema', schema_name, view_name
            USING ERRCODE = 'duplicate_table';
    END IF;
END $$;

-- Whoever reads a view sees what row-level security lets them see of the store. Before PostgreSQL 15 a view reads with the
-- rights of its owner, who sees every tenant: there nobody else gets it.
CREATE OR REPLACE FUNCTION pg_temp.open_to_readers(schema_name text, view_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('COMMENT ON VIEW %I.%I IS %L', schema_name, view_name, 'Trailseal: a view of trailseal.events');
    IF current_setting('server_version_num')::int >= 150000 THEN
        EXECUTE format('ALTER VIEW %I.%I SET (security_invoker = true)', schema_name, view_name);
        EXECUTE format('GRANT SELECT ON %I.%I TO PUBLIC', schema_name, view_name);
    ELSE
        EXECUTE format('REVOKE ALL ON %I.%I FROM PUBLIC', schema_name, view_name);
        RAISE NOTICE '%.% is readable by its owner only: before PostgreSQL 15 a view would show every tenant to whoever may read it',
            schema_name, view_name;
    END IF;
END $$;
