CREATE OR REPLACE VIEW {schema}.pms_audit_log AS
SELECT {key} AS id,
       {uuid:e.tenant} AS yacht_id,
       e.action::text AS action,
       e.resource_type::text AS entity_type,
       {uuid:e.resource_id} AS entity_id,
       {uuid:e.actor_id} AS user_id,
       json.line -> 'before' AS old_values,
       coalesce(json.line -> 'after', '{}') AS new_values,
       coalesce(json.line -> 'approval', '{}') AS signature,
       coalesce(json.line -> 'details', '{}') AS metadata,
       {uuid:e.actor_id} AS created_by,
       e.time AS created_at
FROM trailseal.events AS e CROSS JOIN LATERAL (SELECT trailseal.line_json(e.line) AS line OFFSET 0) AS json
WHERE NOT e.system;
