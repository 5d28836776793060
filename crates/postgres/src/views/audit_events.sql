CREATE OR REPLACE VIEW {schema}.audit_events AS
SELECT {key} AS id,
       e.time AS timestamp,
       CASE WHEN e.category IN ('authentication', 'authorization', 'secret_access', 'config_change') THEN e.category
            WHEN e.category = 'step' THEN 'step_execution'
            WHEN e.category = 'system' THEN 'system_event'
            ELSE CASE e.action
                 WHEN 'workflow.execute' THEN 'workflow_execution'
                 WHEN 'workflow.create' THEN 'workflow_create'
                 WHEN 'workflow.update' THEN 'workflow_update'
                 WHEN 'workflow.delete' THEN 'workflow_delete'
                 WHEN 'api_key.create' THEN 'api_key_create'
                 WHEN 'api_key.revoke' THEN 'api_key_revoke'
                 ELSE e.action END
       END::text AS event_type,
       coalesce(e.actor_id, e.actor_name)::text AS user_id,
       coalesce(json.line ->> 'description', e.action) AS action,
       coalesce(e.resource_type, '')::text AS resource_type,
       coalesce(e.resource_id, e.resource_name, '')::text AS resource_id,
       CASE e.outcome WHEN 'success' THEN 'success' WHEN 'failure' THEN 'failure' WHEN 'denied' THEN 'failure'
            WHEN 'partial' THEN 'partial_success' ELSE 'unknown' END AS result,
       json.line ->> 'error' AS result_error,
       -- Details that are no object stand under `_value`; what has a place of its own in an event was among them.
       CASE WHEN (json.line -> 'details') - '_value' = '{}' THEN json.line -> 'details' -> '_value'
            ELSE nullif(coalesce(json.line -> 'details', '{}')
                || CASE WHEN json.line ? 'duration_ms'
                   THEN jsonb_build_object('duration_ms', json.line -> 'duration_ms') ELSE '{}' END
                || CASE WHEN e.category = 'config_change' AND json.line ? 'after'
                   THEN jsonb_build_object('old_value', json.line -> 'before' -> e.resource_id,
                                           'new_value', json.line -> 'after' -> e.resource_id) ELSE '{}' END, '{}')
       END AS details,
       trailseal.as_inet(e.ip) AS ip_address,
       json.line -> 'context' ->> 'user_agent' AS user_agent,
       e.request_id::text AS request_id,
       NULL::text AS previous_hash,
       encode(e.leaf, 'hex') AS event_hash
FROM trailseal.events AS e CROSS JOIN LATERAL (SELECT trailseal.line_json(e.line) AS line OFFSET 0) AS json
WHERE NOT e.system;
