-- Models, their versions, each traced back to the run that trained it, and the
-- endpoints that serve a version.
--
-- The values listed beside a column are the ones in use; the application
-- enforces them, the database does not.

CREATE TABLE model_platform.models (
    id SERIAL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    description TEXT,
    model_type VARCHAR(50) NOT NULL,                    -- 'classification', 'regression', 'nlp', ...
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    is_active BOOLEAN DEFAULT TRUE,
    framework VARCHAR(50),                              -- 'pytorch', 'tensorflow', ...
    tags TEXT[],
    metadata JSONB
);

CREATE TABLE model_platform.model_versions (
    id SERIAL PRIMARY KEY,
    model_id INTEGER REFERENCES model_platform.models(id),
    version VARCHAR(50) NOT NULL,
    experiment_run_id INTEGER REFERENCES algo_platform.experiment_runs(id),
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    status VARCHAR(20) DEFAULT 'draft',                 -- 'draft', 'production', 'archived'
    storage_location TEXT NOT NULL,                     -- MinIO path or another place
    metrics JSONB,
    parameters JSONB,
    size_bytes BIGINT,
    mlflow_model_uri TEXT,
    is_onnx_available BOOLEAN DEFAULT FALSE,
    onnx_location TEXT,
    torchserve_model_store TEXT,
    triton_model_repository TEXT,
    metadata JSONB
);

CREATE TABLE model_platform.model_endpoints (
    id SERIAL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    description TEXT,
    model_version_id INTEGER REFERENCES model_platform.model_versions(id),
    service_type VARCHAR(50) NOT NULL,                  -- 'torchserve', 'triton', 'custom', ...
    endpoint_url TEXT NOT NULL,
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    status VARCHAR(20) DEFAULT 'deploying',             -- 'deploying', 'running', 'stopped', 'failed'
    kubernetes_deployment VARCHAR(200),
    kubernetes_service VARCHAR(200),
    configuration JSONB,
    resource_allocation JSONB,                          -- CPU, GPU, memory
    autoscaling_config JSONB,
    metrics JSONB
);
