-- Takes back V008: drops the B-tree indexes.

-- public
DROP INDEX public.idx_audit_logs_entity_type_id;
DROP INDEX public.idx_audit_logs_timestamp;
DROP INDEX public.idx_audit_logs_action;
DROP INDEX public.idx_audit_logs_user_id;

-- service_platform
DROP INDEX service_platform.idx_deployments_status;
DROP INDEX service_platform.idx_deployments_application_id;
DROP INDEX service_platform.idx_applications_created_by;

-- model_platform
DROP INDEX model_platform.idx_model_endpoints_status;
DROP INDEX model_platform.idx_model_endpoints_model_version_id;
DROP INDEX model_platform.idx_model_versions_status;
DROP INDEX model_platform.idx_model_versions_model_id;

-- algo_platform
DROP INDEX algo_platform.idx_experiment_runs_status;
DROP INDEX algo_platform.idx_experiment_runs_experiment_id;
DROP INDEX algo_platform.idx_experiments_project_id;

-- data_platform
DROP INDEX data_platform.idx_data_processing_tasks_status;
DROP INDEX data_platform.idx_datasets_created_at;
DROP INDEX data_platform.idx_datasets_created_by;
DROP INDEX data_platform.idx_datasets_name;

-- auth
DROP INDEX auth.idx_object_permissions_content_type_object;
DROP INDEX auth.idx_users_org_id;
DROP INDEX auth.idx_users_email;
DROP INDEX auth.idx_users_username;
