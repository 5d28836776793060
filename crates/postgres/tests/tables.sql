-- The tables of five applications, as these make them, in schemas of their own.
CREATE SCHEMA before;

-- 001, with the columns of both definitions and the one that the utility of the document writes.
CREATE TABLE before.pms_audit_log (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    yacht_id uuid NOT NULL,
    action text NOT NULL,
    entity_type text NOT NULL,
    entity_id uuid NOT NULL,
    user_id uuid NOT NULL,
    old_values jsonb,
    new_values jsonb NOT NULL,
    signature jsonb NOT NULL DEFAULT '{}',
    metadata jsonb,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- 002.
CREATE TABLE before.audit_logs (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid,
    assumed_by_user_id uuid,
    action varchar(50) NOT NULL,
    entity_type varchar(50) NOT NULL,
    entity_id uuid,
    changes jsonb,
    ip_address varchar(45),
    user_agent varchar(500),
    request_id varchar(36),
    status varchar(20) NOT NULL DEFAULT 'success',
    error_message varchar(1000),
    created_at timestamp NOT NULL
);

-- 003.
CREATE TABLE before.audit_trail (
    id uuid PRIMARY KEY,
    user_id uuid,
    actioned_by uuid,
    action varchar(50) NOT NULL,
    resource_type varchar(50) NOT NULL,
    resource_id uuid,
    resource_name varchar(255),
    timestamp timestamptz NOT NULL,
    details jsonb,
    ip_address varchar(45),
    previous_state jsonb,
    new_state jsonb,
    record_hash varchar(64),
    created_at timestamptz NOT NULL,
    modified_at timestamptz NOT NULL
);

-- 004.
CREATE TABLE before.audit_events (
    id UUID PRIMARY KEY,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    event_type VARCHAR(100) NOT NULL,
    user_id VARCHAR(255),
    action VARCHAR(255) NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id VARCHAR(255) NOT NULL,
    result VARCHAR(50) NOT NULL,
    result_error TEXT,
    details JSONB,
    ip_address INET,
    user_agent TEXT,
    request_id VARCHAR(255),
    previous_hash VARCHAR(64),
    event_hash VARCHAR(64)
);

-- 000, the newer generation.
CREATE TABLE before.audit_entries (
    id bigserial PRIMARY KEY,
    action varchar(100) NOT NULL,
    user_id varchar(255),
    entity_type varchar(100),
    entity_id varchar(255),
    old_value jsonb,
    new_value jsonb,
    ip_address varchar(50),
    user_agent varchar(500),
    timestamp timestamptz NOT NULL DEFAULT now(),
    metadata jsonb
);

-- 000's third table, and the older generation's, which is in SQLite: columns of both.
CREATE SCHEMA before_resync;
CREATE TABLE before_resync.audit_logs (
    id serial PRIMARY KEY,
    user_id varchar(36),
    username varchar(100),
    action varchar(100) NOT NULL,
    resource_type varchar(100),
    resource_id varchar(255),
    details_json text,
    timestamp timestamp NOT NULL,
    ip_address varchar(45),
    user_agent varchar(500),
    details text,
    correlation_id varchar(255),
    source_component varchar(255) DEFAULT 'audit',
    severity varchar(50) DEFAULT 'INFO'
);
