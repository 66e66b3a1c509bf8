-- Takes back V006: drops the service tables, each after those that refer to it.

DROP TABLE service_platform.deployments;
DROP TABLE service_platform.application_components;
DROP TABLE service_platform.applications;
