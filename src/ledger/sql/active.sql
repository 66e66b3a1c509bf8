SELECT EXISTS (
    SELECT FROM pg_catalog.pg_stat_activity
    WHERE application_name = $1 AND state = 'active' AND pid <> pg_catalog.pg_backend_pid()
)
