CREATE OR REPLACE VIEW {schema}.audit_logs AS
SELECT {key} AS id,
       {uuid:e.tenant} AS tenant_id,
       {uuid:coalesce(e.on_behalf_of, e.actor_id)} AS user_id,
       {uuid:CASE WHEN e.on_behalf_of IS NOT NULL THEN e.actor_id END} AS assumed_by_user_id,
       e.action::text AS action,
       e.resource_type::text AS entity_type,
       {uuid:e.resource_id} AS entity_id,
       json.line -> 'changes' AS changes,
       e.ip::text AS ip_address,
       json.line -> 'context' ->> 'user_agent' AS user_agent,
       e.request_id::text AS request_id,
       CASE WHEN e.outcome IN ('failure', 'denied') THEN 'failure' ELSE coalesce(e.outcome, 'success') END AS status,
       json.line ->> 'error' AS error_message,
       e.time AT TIME ZONE 'UTC' AS created_at
FROM trailseal.events AS e CROSS JOIN LATERAL (SELECT trailseal.line_json(e.line) AS line OFFSET 0) AS json
WHERE NOT e.system;
