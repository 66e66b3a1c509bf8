//! Settings that cannot be meant so: each is exit 2 with its name and the way to write it, whatever source
//! it comes from, and shows nothing of a secret.

use std::process::Output;

use crate::support::TestEnv;

/// What is set, and what has to be said of it: what is wrong, and what to write.
type Row = (&'static str, &'static str, &'static [&'static str]);

const ROWS: &[Row] = &[
    // PostgreSQL: parameters of other tools, by name.
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h:5432/d?schema=app",
        &["`schema`", "leave it out", "options=-c%20search_path%3D"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?currentSchema=app",
        &["`currentSchema`", "options=-c%20search_path%3D"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?search_path=app",
        &["`search_path`", "options=-c%20search_path%3D"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?pgbouncer=true",
        &["`pgbouncer`", "leave it out", "session mode"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?prepareThreshold=0",
        &["`prepareThreshold`", "leave it out"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?statement_cache_size=0",
        &["`statement_cache_size`", "leave it out"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?connection_limit=5",
        &["`connection_limit`", "no pool"],
    ),
    ("POSTGRES_URL", "postgres://u:s3cret@h/d?pool_timeout=10", &["`pool_timeout`", "no pool"]),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?socketTimeout=10",
        &["`socketTimeout`", "connect_timeout=SECONDS"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?sslaccept=strict",
        &["`sslaccept`", "sslmode", "verify-full"],
    ),
    ("POSTGRES_URL", "postgres://u:s3cret@h/d?ssl=on", &["`ssl`", "sslmode"]),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?targetServerType=primary",
        &["`targetServerType`", "target_session_attrs=primary"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?ApplicationName=x",
        &["`ApplicationName`", "leave it out"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?statement_timeout=5s",
        &["`statement_timeout`", "options=-c%20NAME%3DVALUE"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?sslmod=require",
        &["`sslmod`", "did you mean `sslmode`"],
    ),
    // What libpq takes and this build cannot do.
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?gssencmode=require",
        &["`gssencmode`", "not supported", "disable"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?sslcrl=/x.crl",
        &["`sslcrl`", "not supported", "revocation"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?sslnegotiation=direct",
        &["`sslnegotiation`", "postgres"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?require_auth=scram-sha-256",
        &["`require_auth`", "channel_binding=require"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?client_encoding=LATIN1",
        &["`client_encoding`", "UTF8"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?target_session_attrs=master",
        &["`target_session_attrs`", "primary", "prefer-standby"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?channel_binding=yes",
        &["`channel_binding`", "require"],
    ),
    ("POSTGRES_URL", "postgres://u:s3cret@h/d?sslmode=no-verify", &["`sslmode`", "verify-full"]),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?connect_timeout=5s",
        &["`connect_timeout`", "whole number"],
    ),
    (
        "POSTGRES_URL",
        "postgres://u:s3cret@h/d?service=nowhere",
        &["service `nowhere`", "PGSERVICEFILE"],
    ),
    // Schemes, ports, hosts.
    (
        "POSTGRES_URL",
        "postgresql+asyncpg://u:s3cret@h/d",
        &["begins with postgresql+asyncpg://", "write postgres://"],
    ),
    (
        "POSTGRES_URL",
        "postgresql+psycopg2://u:s3cret@h/d",
        &["begins with postgresql+psycopg2://", "write postgres://"],
    ),
    (
        "POSTGRES_URL",
        "jdbc:postgresql://h/d?user=u&password=s3cret",
        &["begins with jdbc:postgresql://", "postgres://user:password@host"],
    ),
    ("POSTGRES_URL", "POSTGRES://u:s3cret@h/d", &["write postgres://"]),
    ("POSTGRES_URL", "mysql://u:s3cret@h/d", &["begins with mysql://", "postgres://"]),
    ("POSTGRES_URL", "h:5432/d", &["does not begin with postgres://", "write postgres://"]),
    ("POSTGRES_URL", "postgres://u:s3cret@h:99999/d", &["a port", "from 1 to 65535"]),
    ("POSTGRES_URL", "postgres://u:s3cret@h:0/d", &["a port", "from 1 to 65535"]),
    ("POSTGRES_URL", "postgres://u:s3cret@h;i/d", &["a host", "by commas"]),
    ("POSTGRES_URL", "postgres://u:s3cret@h,i/d?port=1,2,3", &["2 hosts", "3 ports"]),
    ("POSTGRES_URL", "postgres://u:s3cr/et@h/d", &["percent-encoded"]),
    ("POSTGRES_URL", "host=h;password=s3cret;Database=d", &["a host", "write postgres://"]),
    ("POSTGRES_URL", "Server=h;User Id=u;Password=s3cret", &["`Server`", "leave it out"]),
    (
        "POSTGRES_URL",
        "\"postgres://u:s3cret@h/d\"",
        &["begins with a quote", "leave the quotes out"],
    ),
    ("POSTGRES_URL", "postgres://u:s3cret@h:+5432/d", &["a port", "from 1 to 65535"]),
    ("POSTGRES_HOST", "h:5432", &["has a port in it", "`port`"]),
    ("POSTGRES_HOST", "postgres://h", &["host", "`url`"]),
    ("POSTGRES_HOST", "h i", &["is no host"]),
    ("POSTGRES_PORT", "99999", &["from 1 to 65535"]),
    ("POSTGRES_PORT", "0", &["from 1 to 65535"]),
    ("POSTGRES_SSLMODE", "on", &["verify-full"]),
    // Kafka's lists.
    ("KAFKA_BROKERS", "kafka://h:9092", &["a scheme", "host:9092,other:9092"]),
    ("KAFKA_BROKERS", "PLAINTEXT://h:9092", &["a scheme", "host:9092"]),
    ("KAFKA_BROKERS", "SASL_SSL://h:9092,SASL_SSL://i:9092", &["a scheme", "host:9092"]),
    ("KAFKA_BROKERS", "a;b", &["by commas", "host:9092"]),
    ("KAFKA_BROKERS", "a:1;b:1", &["by commas", "host:9092"]),
    ("KAFKA_BROKERS", "a:1 b:1", &["by commas", "host:9092"]),
    ("KAFKA_BROKERS", "a:1,,b:1", &["an empty entry", "host:9092"]),
    ("KAFKA_BROKERS", "a:1,", &["an empty entry", "host:9092"]),
    ("KAFKA_BROKERS", "a:99999", &["a port", "from 1 to 65535"]),
    ("KAFKA_BROKERS", "a:0", &["a port", "from 1 to 65535"]),
    ("KAFKA_BROKERS", "a:x", &["a port", "from 1 to 65535"]),
    ("KAFKA_BROKERS", ":9092", &["without a host", "host:9092"]),
    ("KAFKA_BROKERS", "::1", &["IPv6", "[::1]"]),
    ("KAFKA_BROKERS", "h:9092/topic", &["a path", "host:9092"]),
    ("KAFKA_BROKERS", "\"a:1\"", &["quotes", "host:9092"]),
    ("KAFKA_BROKERS", "u:s3cret@h:9092", &["keys of their own"]),
    // MongoDB.
    (
        "MONGO_URL",
        "h:27017/d",
        &["begins with neither mongodb:// nor mongodb+srv://", "write mongodb://"],
    ),
    ("MONGO_URL", "u:s3cret@h/d", &["begins with neither mongodb://", "write mongodb://"]),
    ("MONGO_URL", "mongo://u:s3cret@h/d", &["begins with neither mongodb://", "write mongodb://"]),
    (
        "MONGO_URL",
        "mongodb://u:s3cret@h/d?authMechanism=MONGODB-AWS",
        &["MONGODB-AWS, which is not supported by this build", "SCRAM-SHA-256"],
    ),
    (
        "MONGO_URL",
        "mongodb://u:s3cret@h/d?authMechanism=GSSAPI",
        &["GSSAPI, which is not supported by this build", "SCRAM-SHA-256"],
    ),
    (
        "MONGO_URL",
        "mongodb://u:s3cret@h/d?authMechanism=MONGODB-OIDC",
        &["MONGODB-OIDC, which is not supported", "SCRAM-SHA-256"],
    ),
    ("MONGO_URL", "mongodb://u:s3cret@h:99999/d", &["port"]),
    ("MONGO_URL", "mongodb://u:s3cret@h:0/d", &["port", "65535"]),
    ("MONGO_URL", "mongodb://u:s3cr/et@h/d", &["as %XX"]),
    ("MONGO_URL", "mongodb://u:s3cret@h;i/d", &["hosts", "by commas"]),
    ("MONGO_URL", "mongodb://u:s3cret@h/d?poolSize=5", &["`poolsize`", "leave it out"]),
    ("MONGO_URL", "mongodb://u:s3cret@h/d?compressors=zstd", &["`compressors`", "leave it out"]),
    ("MONGO_HOST", "h:99999", &["a port", "from 1 to 65535"]),
    ("MONGO_HOST", "a;b", &["by commas", "host:27017"]),
    ("MONGO_HOST", "mongodb://h", &["a scheme", "host:27017"]),
    // Weaviate.
    ("WEAVIATE_URL", "h:8080", &["does not begin with http:// or https://", "http://host:8080"]),
    ("WEAVIATE_URL", "localhost", &["does not begin with http:// or https://", "http://host:8080"]),
    ("WEAVIATE_URL", "ftp://h", &["does not begin with http://", "http://host:8080"]),
    ("WEAVIATE_URL", "http://h:99999", &["port", "http://host:8080"]),
    ("WEAVIATE_URL", "http://h:0", &["port", "65535"]),
    ("WEAVIATE_URL", "http://u:s3cret@h", &["`api_key`"]),
    ("WEAVIATE_URL", "http://h?key=s3cret", &["ends in `?…`"]),
    // Redis.
    ("REDIS_URL", "h:6379", &["begins with neither redis:// nor rediss://", "write redis://"]),
    ("REDIS_URL", "localhost", &["begins with neither redis:// nor rediss://", "write redis://"]),
    ("REDIS_URL", "http://u:s3cret@h", &["begins with neither redis://", "write redis://"]),
    (
        "REDIS_URL",
        "redis+sentinel://u:s3cret@h",
        &["begins with neither redis://", "write redis://"],
    ),
    ("REDIS_URL", "redis://u:s3cret@h:99999/0", &["port", "write redis://"]),
    ("REDIS_URL", "redis://u:s3cret@h:0/0", &["port", "65535"]),
    ("REDIS_URL", "redis://u:s3cret@h/-1", &["the number of a database", "write redis://"]),
    ("REDIS_URL", "redis://u:s3cret@h/app", &["the number of a database", "write redis://"]),
    (
        "REDIS_URL",
        "redis://u:s3cret@h/0?ssl_cert_reqs=none",
        &["`ssl_cert_reqs`", "leave it out", "`tls`"],
    ),
    ("REDIS_URL", "redis://u:s3cret@a,b/0", &["several hosts", "any node"]),
    ("REDIS_HOST", "h:6379", &["has a port in it", "`port`"]),
    ("REDIS_HOST", "a,b", &["several hosts", "`sentinels`"]),
    ("REDIS_SENTINELS", "a:99999", &["a port", "from 1 to 65535"]),
    ("REDIS_SENTINELS", "redis://a:26379", &["a scheme", "host:26379"]),
    ("REDIS_PORT", "65536", &["from 1 to 65535"]),
];

/// Where a setting stands.
const SOURCES: [&str; 4] = ["the environment", ".env", "the file", "a profile"];

/// The name of the setting in the file: its section and its key.
fn section_and_key(variable: &str) -> (String, String) {
    let (section, key) = variable.split_once('_').expect("a section and a key");
    (section.to_lowercase(), key.to_lowercase())
}

/// `status` with the one setting in `source`.
fn ended(env: &TestEnv, source: &str, (variable, value): (&str, &str)) -> Output {
    let (section, key) = section_and_key(variable);
    let is_number = key == "port";
    let quoted = if is_number { value.to_string() } else { format!("'{value}'") };
    let (mut dotenv, mut file) = (String::new(), String::new());
    let mut arguments = vec!["status"];
    let mut command_variables = Vec::new();
    match source {
        "the environment" => {
            command_variables.push((format!("AIPLAT_MIGRATE_{variable}"), value.to_string()));
        }
        ".env" => dotenv = format!("AIPLAT_MIGRATE_{variable}='{value}'\n"),
        "the file" => file = format!("[{section}]\n{key} = {quoted}\n"),
        _ => {
            file = format!("[profile.p.{section}]\n{key} = {quoted}\n");
            arguments.extend(["--profile", "p"]);
        }
    }
    for (name, text) in [(".env", dotenv), ("aiplat-migrate.toml", file)] {
        std::fs::write(env.path().join(name), text).expect("file");
    }
    // What makes a store configured whose host is not what is set here.
    let place = match section.as_str() {
        "postgres" | "redis" if ["port", "sslmode"].contains(&key.as_str()) => "HOST",
        _ => "",
    };
    let mut command = env.command(&arguments);
    command.env_clear().envs(command_variables);
    if !place.is_empty() {
        command.env(format!("AIPLAT_MIGRATE_{}_{place}", section.to_uppercase()), "h");
    }
    if section != "postgres" {
        command.env("DATABASE_URL", env.get("AIPLAT_MIGRATE_POSTGRES_URL"));
    }
    command.output().expect("binary")
}

#[test]
fn each_is_named_with_the_way_to_write_it() {
    let env = TestEnv::new();
    let mut wrong = Vec::new();
    for (variable, value, words) in ROWS {
        for source in SOURCES {
            let output = ended(&env, source, (variable, value));
            let said = String::from_utf8_lossy(&output.stderr);
            let (section, key) = section_and_key(variable);
            let name = match source {
                "the environment" => format!("AIPLAT_MIGRATE_{variable} "),
                ".env" => format!("AIPLAT_MIGRATE_{variable} (in .env) "),
                "the file" => format!("`{section}.{key}` "),
                _ => format!("`profile.p.{section}.{key}` "),
            };
            let missing = words.iter().find(|word| !said.contains(**word));
            let is_right = output.status.code() == Some(2)
                && said.contains(&format!("error: {name}"))
                && said.contains("hint: ")
                && missing.is_none()
                && !said.contains("s3cr")
                && !said.contains("plain text");
            if !is_right {
                wrong.push(format!(
                    "{variable}={value} in {source}: {:?}, without {missing:?}\n{said}",
                    output.status.code()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The same, where a variable of libpq's is wrong.
#[test]
fn variables_of_libpq_are_named() {
    let env = TestEnv::new();
    for (variable, value, words) in [
        ("PGPORT", "99999", &["a number from 1 to 65535"][..]),
        ("PGPORT", "0", &["a number from 1 to 65535"]),
        ("PGSSLMODE", "s3cret", &["`sslmode`", "verify-full"]),
        ("PGSERVICE", "nowhere", &["service `nowhere`", "PGSERVICEFILE"]),
        ("PGCONNECT_TIMEOUT", "soon", &["whole number"]),
        ("PGTARGETSESSIONATTRS", "master", &["primary", "prefer-standby"]),
        ("PGSSLCRL", "/x.crl", &["`sslcrl`", "not supported"]),
        ("PGGSSENCMODE", "require", &["`gssencmode`", "disable"]),
        ("PGHOSTADDR", "localhost", &["IP address", "`host`"]),
        ("PGCHANNELBINDING", "on", &["`channel_binding`", "require"]),
        ("PGREQUIREAUTH", "scram-sha-256", &["`require_auth`", "not supported"]),
    ] {
        for dotenv in [true, false] {
            env.file(".env", &if dotenv { format!("{variable}={value}\n") } else { String::new() });
            let mut command = env.command(&["status"]);
            command.env_clear().env("PGHOST", "h");
            if !dotenv {
                command.env(variable, value);
            }
            let output = command.output().expect("binary");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{variable}={value}: {said}");
            for word in words.iter().chain(&[variable]) {
                assert!(said.contains(word), "{variable}={value}, no `{word}`: {said}");
            }
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
