CREATE OR REPLACE VIEW {schema}.audit_trail AS
SELECT {key} AS id,
       {uuid:coalesce(e.on_behalf_of, e.actor_id)} AS user_id,
       {uuid:CASE WHEN e.on_behalf_of IS NOT NULL THEN e.actor_id END} AS actioned_by,
       e.action::text AS action,
       e.resource_type::text AS resource_type,
       {uuid:e.resource_id} AS resource_id,
       e.resource_name::text AS resource_name,
       e.time AS timestamp,
       jsonb_build_object('success', e.outcome IS NULL OR e.outcome = 'success')
           || CASE WHEN json.line -> 'context' ? 'user_agent'
              THEN jsonb_build_object('user_agent', json.line -> 'context' -> 'user_agent') ELSE '{}' END
           || coalesce(json.line -> 'details', '{}') AS details,
       e.ip::text AS ip_address,
       json.line -> 'before' AS previous_state,
       json.line -> 'after' AS new_state,
       encode(e.leaf, 'hex') AS record_hash,
       e.recorded AS created_at,
       e.recorded AS modified_at
FROM trailseal.events AS e CROSS JOIN LATERAL (SELECT trailseal.line_json(e.line) AS line OFFSET 0) AS json
WHERE NOT e.system;
