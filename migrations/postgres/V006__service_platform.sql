-- Applications, the components they are put together from, and where each
-- application is deployed.
--
-- The values listed beside a column are the ones in use; the application
-- enforces them, the database does not.

CREATE TABLE service_platform.applications (
    id SERIAL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    description TEXT,
    application_type VARCHAR(50) NOT NULL,              -- 'web', 'api', 'workflow', ...
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    status VARCHAR(20) DEFAULT 'draft',                 -- 'draft', 'published', 'archived'
    configuration JSONB,
    version VARCHAR(50) DEFAULT '1.0',
    tags TEXT[]
);

CREATE TABLE service_platform.application_components (
    id SERIAL PRIMARY KEY,
    application_id INTEGER REFERENCES service_platform.applications(id),
    component_type VARCHAR(50) NOT NULL,                -- 'model_endpoint', 'data_service', 'ui_component', ...
    component_id INTEGER,                               -- id in the table that component_type means; no foreign key
    configuration JSONB,
    order_index INTEGER,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE service_platform.deployments (
    id SERIAL PRIMARY KEY,
    application_id INTEGER REFERENCES service_platform.applications(id),
    environment VARCHAR(50) NOT NULL,                   -- 'dev', 'test', 'prod', ...
    version VARCHAR(50) NOT NULL,
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    deployed_at TIMESTAMP WITH TIME ZONE,
    status VARCHAR(20) DEFAULT 'pending',               -- 'pending', 'deploying', 'running', 'failed'
    endpoint_url TEXT,
    kubernetes_namespace VARCHAR(100),
    deployment_logs TEXT,
    configuration JSONB
);
