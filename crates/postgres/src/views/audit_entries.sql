CREATE OR REPLACE VIEW {schema}.audit_entries AS
SELECT trailseal.key_bigint(e.recorded, e.origin, e.idx) AS id,
       e.action::text AS action,
       e.actor_id::text AS user_id,
       e.resource_type::text AS entity_type,
       e.resource_id::text AS entity_id,
       json.line -> 'before' AS old_value,
       json.line -> 'after' AS new_value,
       e.ip::text AS ip_address,
       json.line -> 'context' ->> 'user_agent' AS user_agent,
       e.time AS timestamp,
       -- As `log_audit_event` wrote it, if that was what was called.
       CASE WHEN json.line -> 'context' ? 'component'
            THEN jsonb_build_object('details', coalesce(json.line -> 'details', '{}'), 'correlation_id', e.correlation_id,
                'source_component', json.line -> 'context' ->> 'component', 'severity', upper(e.severity))
            ELSE coalesce(json.line -> 'details', '{}') END AS metadata
FROM trailseal.events AS e CROSS JOIN LATERAL (SELECT trailseal.line_json(e.line) AS line OFFSET 0) AS json
WHERE NOT e.system;
