-- Takes back V002: drops the auth tables, each after those that refer to it.

DROP TABLE auth.object_permissions;
DROP TABLE auth.user_permissions;
DROP TABLE auth.group_permissions;
DROP TABLE auth.permissions;
DROP TABLE auth.user_groups;
DROP TABLE auth.groups;
DROP TABLE auth.users;
DROP TABLE auth.organizations;
