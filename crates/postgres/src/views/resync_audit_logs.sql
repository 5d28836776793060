CREATE OR REPLACE VIEW {schema}.audit_logs AS
SELECT trailseal.key_bigint(e.recorded, e.origin, e.idx) AS id,
       e.action::text AS action,
       e.actor_id::text AS user_id,
       e.actor_name::text AS username,
       e.resource_type::text AS resource_type,
       e.resource_id::text AS resource_id,
       coalesce(json.line -> 'details', '{}')::text AS details,
       coalesce(json.line -> 'details', '{}')::text AS details_json,
       e.time AT TIME ZONE 'UTC' AS timestamp,
       e.correlation_id::text AS correlation_id,
       coalesce(json.line -> 'context' ->> 'component', 'audit') AS source_component,
       upper(e.severity) AS severity,
       e.ip::text AS ip_address,
       json.line -> 'context' ->> 'user_agent' AS user_agent
FROM trailseal.events AS e CROSS JOIN LATERAL (SELECT trailseal.line_json(e.line) AS line OFFSET 0) AS json
WHERE NOT e.system;
