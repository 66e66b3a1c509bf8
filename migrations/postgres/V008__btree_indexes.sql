-- B-tree indexes for the platform's frequent look-ups and lists.
--
-- idx_users_username and idx_users_email repeat what the unique constraints of
-- auth.users already index. They are part of the platform's schema as designed
-- and are kept for that reason.
--
-- The tables are new and empty when this runs, so plain CREATE INDEX is enough.
-- An index added to a table in use wants CREATE INDEX CONCURRENTLY, in a
-- migration of its own that runs outside a transaction.

-- auth
CREATE INDEX idx_users_username ON auth.users (username);
CREATE INDEX idx_users_email ON auth.users (email);
CREATE INDEX idx_users_org_id ON auth.users (organization_id);
CREATE INDEX idx_object_permissions_content_type_object ON auth.object_permissions (content_type_id, object_pk);

-- data_platform
CREATE INDEX idx_datasets_name ON data_platform.datasets (name);
CREATE INDEX idx_datasets_created_by ON data_platform.datasets (created_by);
CREATE INDEX idx_datasets_created_at ON data_platform.datasets (created_at);
CREATE INDEX idx_data_processing_tasks_status ON data_platform.data_processing_tasks (status);

-- algo_platform
CREATE INDEX idx_experiments_project_id ON algo_platform.experiments (project_id);
CREATE INDEX idx_experiment_runs_experiment_id ON algo_platform.experiment_runs (experiment_id);
CREATE INDEX idx_experiment_runs_status ON algo_platform.experiment_runs (status);

-- model_platform
CREATE INDEX idx_model_versions_model_id ON model_platform.model_versions (model_id);
CREATE INDEX idx_model_versions_status ON model_platform.model_versions (status);
CREATE INDEX idx_model_endpoints_model_version_id ON model_platform.model_endpoints (model_version_id);
CREATE INDEX idx_model_endpoints_status ON model_platform.model_endpoints (status);

-- service_platform
CREATE INDEX idx_applications_created_by ON service_platform.applications (created_by);
CREATE INDEX idx_deployments_application_id ON service_platform.deployments (application_id);
CREATE INDEX idx_deployments_status ON service_platform.deployments (status);

-- public
CREATE INDEX idx_audit_logs_user_id ON public.audit_logs (user_id);
CREATE INDEX idx_audit_logs_action ON public.audit_logs (action);
CREATE INDEX idx_audit_logs_timestamp ON public.audit_logs (timestamp);
CREATE INDEX idx_audit_logs_entity_type_id ON public.audit_logs (entity_type, entity_id);
