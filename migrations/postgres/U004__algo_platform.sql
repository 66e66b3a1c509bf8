-- Takes back V004: drops the algorithm tables, each after those that refer to
-- it.

DROP TABLE algo_platform.experiment_runs;
DROP TABLE algo_platform.experiments;
DROP TABLE algo_platform.projects;
