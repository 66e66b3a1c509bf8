-- Projects that develop algorithms, their experiments, and the runs of each
-- experiment.
--
-- The values listed beside a column are the ones in use; the application
-- enforces them, the database does not.

CREATE TABLE algo_platform.projects (
    id SERIAL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    description TEXT,
    git_repository_url TEXT,
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    is_active BOOLEAN DEFAULT TRUE,
    configuration JSONB,
    tags TEXT[]
);

CREATE TABLE algo_platform.experiments (
    id SERIAL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    description TEXT,
    project_id INTEGER REFERENCES algo_platform.projects(id),
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    status VARCHAR(20) DEFAULT 'active',                -- 'active', 'completed', 'archived'
    git_branch VARCHAR(100),
    git_commit_hash VARCHAR(40),
    mlflow_experiment_id VARCHAR(100),
    configuration JSONB,
    tags TEXT[]
);

CREATE TABLE algo_platform.experiment_runs (
    id SERIAL PRIMARY KEY,
    experiment_id INTEGER REFERENCES algo_platform.experiments(id),
    run_name VARCHAR(200),
    created_by INTEGER REFERENCES auth.users(id),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    status VARCHAR(20) DEFAULT 'pending',               -- 'pending', 'running', 'completed', 'failed'
    parameters JSONB,
    metrics JSONB,
    artifacts_location TEXT,                            -- MinIO path or another place
    mlflow_run_id VARCHAR(100),
    kubeflow_run_id VARCHAR(100),
    logs_location TEXT
);
