-- Where data comes from, the datasets made of it, the tasks that process them,
-- and the embeddings of their texts.
--
-- The values listed beside a column are the ones in use; the application
-- enforces them, the database does not.

CREATE TABLE data_platform.data_sources (
    id SERIAL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    description TEXT,
    source_type VARCHAR(50) NOT NULL,                   -- 'database', 'file', 'api', ...
    connection_info JSONB NOT NULL,                     -- stored encrypted (by the application)
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    is_active BOOLEAN DEFAULT TRUE,
    schema_definition JSONB,
    tags TEXT[]
);

CREATE TABLE data_platform.datasets (
    id SERIAL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    description TEXT,
    storage_location VARCHAR(500) NOT NULL,             -- MinIO path or another place
    format VARCHAR(50) NOT NULL,                        -- 'csv', 'parquet', 'json', ...
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    size_bytes BIGINT,
    row_count INTEGER,
    schema_definition JSONB,
    metadata JSONB,
    tags TEXT[],
    is_public BOOLEAN DEFAULT FALSE,
    version VARCHAR(50) DEFAULT '1.0'
);

CREATE TABLE data_platform.dataset_versions (
    id SERIAL PRIMARY KEY,
    dataset_id INTEGER REFERENCES data_platform.datasets(id),
    version VARCHAR(50) NOT NULL,
    storage_location VARCHAR(500) NOT NULL,
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    size_bytes BIGINT,
    row_count INTEGER,
    changes_description TEXT,
    metadata JSONB
);

CREATE TABLE data_platform.data_processing_tasks (
    id SERIAL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    description TEXT,
    task_type VARCHAR(50) NOT NULL,                     -- 'etl', 'transform', 'clean', ...
    configuration JSONB NOT NULL,
    source_dataset_id INTEGER REFERENCES data_platform.datasets(id),
    target_dataset_id INTEGER REFERENCES data_platform.datasets(id),
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    scheduled_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    status VARCHAR(20) DEFAULT 'pending',               -- 'pending', 'running', 'completed', 'failed'
    status_message TEXT,
    execution_logs TEXT,
    airflow_dag_id VARCHAR(200),
    spark_job_id VARCHAR(200)
);

-- Texts and their embeddings; V009 indexes them for similarity search.
CREATE TABLE data_platform.text_embeddings (
    id SERIAL PRIMARY KEY,
    dataset_id INTEGER REFERENCES data_platform.datasets(id),
    record_id VARCHAR(100),
    text_content TEXT,
    embedding public.vector(1536),                      -- the length of OpenAI's ada vectors
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);
