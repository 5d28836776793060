-- What several servers decide together: tokens, legal holds, reviews, and the policy that was set at run time.
--
-- These tables are small and belong to no origin. A distributed PostgreSQL keeps them on one node. Texts that people write
-- are JSON in a column of type text: JSON has a way to write NUL, and text has no place for it.

-- How often each of these has changed, so that a server sees by one short look whether anything has. Whoever changes one
-- locks its row, so that changes come one after the other.
CREATE TABLE trailseal.versions (
    name   text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO trailseal.versions VALUES ('tokens', 0), ('holds', 0), ('policy', 0);

-- Each decision, in the transaction that made it. The server that made it then records an event with this id in its own
-- trail, and puts the index here; one that was killed in between does so when it looks next.
CREATE TABLE trailseal.decisions (
    id      text COLLATE "C" PRIMARY KEY,
    origin  text COLLATE "C" NOT NULL,
    what    text COLLATE "C" NOT NULL, -- the event's action, after `trail.`
    about   text             NOT NULL, -- who decided, and the event's details, as JSON
    decided timestamptz      NOT NULL DEFAULT now(),
    idx     bigint                     -- the event; NULL until it is recorded
) WITH (fillfactor = 90);
CREATE INDEX decisions_to_record ON trailseal.decisions (origin) WHERE idx IS NULL;

-- Who may use the servers. A token is 32 random bytes, so its plain hash reveals nothing of it.
CREATE TABLE trailseal.tokens (
    name      text COLLATE "C" PRIMARY KEY,
    sha256    bytea       NOT NULL UNIQUE CHECK (length(sha256) = 32),
    about     text        NOT NULL, -- scopes and tenant, as JSON
    created   timestamptz NOT NULL,
    expires   timestamptz,
    last_used timestamptz
) WITH (fillfactor = 80);

CREATE TABLE trailseal.holds (
    name  text COLLATE "C" PRIMARY KEY,
    about text NOT NULL -- reason, filters and time, as JSON
);

-- Every policy that was set; the last one is in force.
CREATE TABLE trailseal.policies (
    number bigint PRIMARY KEY,
    policy text        NOT NULL, -- TOML
    review text COLLATE "C",     -- the one that approved it, if it needed one
    set_at timestamptz NOT NULL DEFAULT now()
);

-- Reviews as the trails request them, and how they were decided.
CREATE TABLE trailseal.reviews (
    id      text COLLATE "C" PRIMARY KEY,
    origin  text COLLATE "C" NOT NULL,
    idx     bigint           NOT NULL,
    tenant  text COLLATE "C",
    line    bytea            NOT NULL, -- the event that requests it
    state   text COLLATE "C" NOT NULL CHECK (state IN ('pending', 'approved', 'rejected')),
    decided text                       -- when, by whom and with what comment, as JSON
);
CREATE INDEX reviews_state  ON trailseal.reviews (state, id);
CREATE INDEX reviews_tenant ON trailseal.reviews (tenant, id);

-- How far each trail's requests have come into `reviews`.
CREATE TABLE trailseal.review_cursors (
    origin text COLLATE "C" PRIMARY KEY,
    next   bigint NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION trailseal.refuse_second_decision() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% refused: what was decided in %.% stays', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER decided_once BEFORE UPDATE ON trailseal.reviews
    FOR EACH ROW WHEN (OLD.state <> 'pending'
        OR (OLD.id, OLD.origin, OLD.idx, OLD.line) IS DISTINCT FROM (NEW.id, NEW.origin, NEW.idx, NEW.line))
    EXECUTE FUNCTION trailseal.refuse_second_decision();
CREATE TRIGGER recorded_once BEFORE UPDATE ON trailseal.decisions
    FOR EACH ROW WHEN (OLD.idx IS NOT NULL
        OR (OLD.id, OLD.origin, OLD.what, OLD.about, OLD.decided)
            IS DISTINCT FROM (NEW.id, NEW.origin, NEW.what, NEW.about, NEW.decided))
    EXECUTE FUNCTION trailseal.refuse_second_decision();

DO $$
DECLARE
    kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['reviews', 'decisions'] LOOP
        EXECUTE format('CREATE TRIGGER no_delete BEFORE DELETE ON trailseal.%I '
            'FOR EACH ROW EXECUTE FUNCTION trailseal.refuse_change()', kept);
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trailseal.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION trailseal.refuse_change()', kept);
    END LOOP;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON trailseal.policies
    FOR EACH ROW EXECUTE FUNCTION trailseal.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trailseal.policies
    FOR EACH STATEMENT EXECUTE FUNCTION trailseal.refuse_change();
