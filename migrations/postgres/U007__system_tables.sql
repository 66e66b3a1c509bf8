-- Takes back V007: drops the system tables.

DROP TABLE public.audit_logs;
DROP TABLE public.system_settings;
