-- Organizations, users, groups, and what each of them may do. Every later schema refers to auth.users.
--
-- Django's content type table is not part of this schema, so the columns named
-- content_type_id carry its ids without a foreign key.

-- Created before auth.users, which refers to it.
CREATE TABLE auth.organizations (
    id SERIAL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    description TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    is_active BOOLEAN DEFAULT TRUE,
    settings JSONB
);

-- The columns of Django's auth_user, and the platform's own after them.
CREATE TABLE auth.users (
    id SERIAL PRIMARY KEY,
    username VARCHAR(150) UNIQUE NOT NULL,
    email VARCHAR(254) UNIQUE NOT NULL,
    password VARCHAR(128) NOT NULL,                     -- holds a hash
    first_name VARCHAR(150),
    last_name VARCHAR(150),
    is_active BOOLEAN DEFAULT TRUE,
    is_staff BOOLEAN DEFAULT FALSE,
    is_superuser BOOLEAN DEFAULT FALSE,
    date_joined TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    last_login TIMESTAMP WITH TIME ZONE,
    avatar_url TEXT,
    phone VARCHAR(20),
    organization_id INTEGER REFERENCES auth.organizations(id),
    department VARCHAR(100),
    position VARCHAR(100),
    bio TEXT,
    preferences JSONB
);

CREATE TABLE auth.groups (
    id SERIAL PRIMARY KEY,
    name VARCHAR(150) NOT NULL,
    description TEXT,
    organization_id INTEGER REFERENCES auth.organizations(id)
);

CREATE TABLE auth.user_groups (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES auth.users(id),
    group_id INTEGER REFERENCES auth.groups(id),
    UNIQUE (user_id, group_id)
);

CREATE TABLE auth.permissions (
    id SERIAL PRIMARY KEY,
    codename VARCHAR(100) NOT NULL,
    name VARCHAR(255) NOT NULL,
    content_type_id INTEGER NOT NULL,                   -- id in Django's content type table
    UNIQUE (codename, content_type_id)
);

CREATE TABLE auth.group_permissions (
    id SERIAL PRIMARY KEY,
    group_id INTEGER REFERENCES auth.groups(id),
    permission_id INTEGER REFERENCES auth.permissions(id),
    UNIQUE (group_id, permission_id)
);

CREATE TABLE auth.user_permissions (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES auth.users(id),
    permission_id INTEGER REFERENCES auth.permissions(id),
    UNIQUE (user_id, permission_id)
);

-- Permissions on single objects, held by one user or by one group, never by both.
CREATE TABLE auth.object_permissions (
    id SERIAL PRIMARY KEY,
    permission_id INTEGER REFERENCES auth.permissions(id),
    user_id INTEGER REFERENCES auth.users(id),
    group_id INTEGER REFERENCES auth.groups(id),
    object_pk VARCHAR(255) NOT NULL,
    content_type_id INTEGER NOT NULL,                   -- id in Django's content type table
    CHECK ((user_id IS NULL AND group_id IS NOT NULL) OR (user_id IS NOT NULL AND group_id IS NULL))
);
