//! Secrets in everything that a store can hold a text in: the ledger keeps templates of them, drift is told
//! around them, a rotated one is found and put back, and no output holds one, of today or of before.

use std::process::Stdio;

use bson::doc;
use serde_json::{Value, json};

use crate::support::{Finished, TestEnv, block_on, finish, unique};
use crate::witness;

/// One statement for each place.
const POSTGRES: &str = r#"-- placeholders: on
CREATE SCHEMA app;
CREATE EXTENSION IF NOT EXISTS postgres_fdw;
CREATE TABLE app.t (
  id int, a text DEFAULT '${plain}', b text DEFAULT $q$ ${odd}$q$, c bytea DEFAULT '${plain}',
  d jsonb DEFAULT '{"k": "${plain}"}', e text GENERATED ALWAYS AS (a || '${plain}') STORED,
  f text[] DEFAULT '{"x ${plain}"}',
  CONSTRAINT checked CHECK (a <> 'not ${plain}')
);
CREATE TABLE app.parts (k text) PARTITION BY LIST (k);
CREATE TABLE app.part PARTITION OF app.parts FOR VALUES IN ('${plain}');
CREATE INDEX partial ON app.t (id) WHERE a = '${plain}';
CREATE INDEX expression ON app.t ((a || '${plain}'));
CREATE STATISTICS app.stats ON (a || '${plain}'), id FROM app.t;
CREATE VIEW app.v AS SELECT id, '${plain}'::text AS s, $q$ ${odd}$q$::text AS o FROM app.t;
CREATE MATERIALIZED VIEW app.m AS SELECT id FROM app.t WHERE a = '${plain}';
CREATE FUNCTION app.f() RETURNS text LANGUAGE sql AS $f$ SELECT '${plain}' $f$;
CREATE FUNCTION app.g(x text DEFAULT '${plain}') RETURNS text LANGUAGE plpgsql
  AS $f$ BEGIN /* ${odd} */ RETURN x; END $f$;
CREATE FUNCTION app.h() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RETURN NEW; END $f$;
CREATE PROCEDURE app.p() LANGUAGE plpgsql AS $f$ BEGIN PERFORM '${plain}'; END $f$;
CREATE TRIGGER tr BEFORE INSERT ON app.t FOR EACH ROW WHEN (NEW.a = '${plain}') EXECUTE FUNCTION app.h();
CREATE RULE ru AS ON UPDATE TO app.t WHERE OLD.a = '${plain}' DO ALSO NOTHING;
CREATE POLICY po ON app.t USING (a = '${plain}') WITH CHECK (a <> '${plain}');
CREATE DOMAIN app.do AS text DEFAULT '${plain}' CHECK (VALUE <> '${plain}');
CREATE TYPE app.en AS ENUM ('${plain}', 'other');
CREATE PUBLICATION NAME FOR TABLE app.t WHERE (id > 0 AND a <> '${plain}');
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'h', dbname '${plain}');
CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'u', password '${plain}');
CREATE FOREIGN TABLE app.remote (id int) SERVER far OPTIONS (table_name '${plain}');
ALTER DATABASE NAME SET app.token = '${plain}';
ALTER DATABASE NAME SET app.other = '${plain}';
COMMENT ON TABLE app.t IS 'the key is ${plain}';
COMMENT ON COLUMN app.t.a IS $q$ ${odd}$q$;
"#;

struct Project {
    env: TestEnv,
    /// Every value that a secret ever had.
    values: Vec<String>,
}

impl Project {
    fn new() -> Project {
        let mut env = TestEnv::new().with(&["mongo", "weaviate", "redis"]);
        for name in ["PLAIN", "ODD"] {
            let file = env.path().join(name);
            let variable = format!("AIPLAT_MIGRATE_PLACEHOLDER_{name}_FILE");
            env = env.set(&variable, &file.display().to_string());
        }
        env.file("aiplat-migrate.toml", "[postgres]\nshape = ['owners', 'grants', 'comments']\n");
        env.file("migrations/postgres/V1__all.sql", POSTGRES);
        env.file(
            "migrations/postgres/U1__all.sql",
            "DROP USER MAPPING FOR PUBLIC SERVER far; DROP SCHEMA app CASCADE; DROP SERVER far CASCADE;",
        );
        env.file(
            "migrations/mongo/V1__all.json5",
            "{ steps: [
                { create: 'c', validator: { x: { $ne: '${plain}' }, y: { $nin: ['${odd}', 'z'] } } },
                { create: 'v', viewOn: 'c', pipeline: [{ $match: { x: '${plain}' } }] },
                { createIndexes: 'c', indexes: [
                    { key: { x: 1 }, name: 'x_1', partialFilterExpression: { x: { $gt: '${plain}' } } } ] },
            ] }",
        );
        env.file(
            "migrations/mongo/V2__other.json5",
            "{ steps: [{ collMod: 'c', validator: { x: { $ne: '${plain}' }, z: { $ne: 1 } } },
                       { collMod: 'v', viewOn: 'c', pipeline: [{ $match: { z: '${odd}' } }] }] }",
        );
        env.file(
            "migrations/weaviate/V1__all.json5",
            "{ steps: [{ createClass: { class: 'Name', vectorizer: 'none', description: 'key ${plain}',
                properties: [{ name: 'p', dataType: ['text'], description: '${odd}' }] } }] }",
        );
        env.file(
            "migrations/redis/V1__all.json5",
            "{ steps: [
                { function: { code: '#!lua name=NAME\\nredis.register_function(\"NAME\", function() return \"${plain}\" end)' } },
                { acl: { user: 'NAME', rules: ['on', '>${plain}', '~NAME:${plain}:*', '+get'] } },
            ] }",
        );
        let mut project = Project { env, values: Vec::new() };
        project.rotate();
        project
    }

    /// New values: one of letters and digits, one with all that is escaped somewhere.
    fn rotate(&mut self) {
        let plain = unique("zqp").replace('_', "x");
        let odd = format!("{} it's \"b\\c ${{plain}}", unique("zqo").replace('_', "x"));
        for (name, value) in [("PLAIN", &plain), ("ODD", &odd)] {
            let file = self.env.file(name, "");
            std::fs::write(&file, value).expect("a file");
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("mode");
        }
        // Of the second one, its mark is enough.
        self.values.extend([plain, odd.split(' ').next().expect("a mark").to_string()]);
    }

    fn plain(&self) -> String {
        std::fs::read_to_string(self.env.path().join("PLAIN")).expect("a file")
    }

    #[track_caller]
    fn assert_clean(&self, what: &str, text: &str) {
        for value in &self.values {
            let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
            for trace in [value, &hex] {
                let found = text.to_lowercase().find(&trace.to_lowercase());
                if let Some(at) = found {
                    let from = text[..at].char_indices().rev().nth(200).map_or(0, |(at, _)| at);
                    panic!("{what} shows a secret:\n{}", &text[from..at + trace.len()]);
                }
            }
        }
    }

    /// Runs a command and looks at all that it prints and leaves.
    #[track_caller]
    fn run_as(&self, arguments: &[&str], lacks: &[&str]) -> Finished {
        let mut command = self.env.command(arguments);
        let log = self.env.path().join("termination");
        command.arg("--termination-log").arg(&log);
        for name in lacks {
            command.env_remove(format!("AIPLAT_MIGRATE_PLACEHOLDER_{name}_FILE"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = finish(command.spawn().expect("binary"));
        let what = arguments.join(" ");
        self.assert_clean(&what, &ended.stdout);
        self.assert_clean(&what, &ended.stderr);
        self.assert_clean(&what, &std::fs::read_to_string(&log).unwrap_or_default());
        ended
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Finished {
        self.run_as(arguments, &[])
    }

    /// Every command that shows a shape, in every form.
    #[track_caller]
    fn look_everywhere(&self) {
        for output in ["text", "json", "junit", "sarif", "github", "html"] {
            self.run(&["validate", "--output", output]);
        }
        self.run(&["repair", "--reapply", "--dry-run"]);
        self.run(&["repair", "--accept-drift", "--dry-run"]);
        self.run(&["history"]);
        self.run(&["history", "--output", "json"]);
        self.run(&["plan"]);
        self.look_at_ledger();
    }

    #[track_caller]
    fn look_at_ledger(&self) {
        let tables = self.env.sql(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'aiplat_migrate'",
        );
        for table in tables {
            let rows = self.env.sql(&format!("SELECT t::text FROM aiplat_migrate.{table} t"));
            self.assert_clean(&format!("the table {table}"), &rows.join("\n"));
        }
    }

    /// The differences that `validate` tells.
    #[track_caller]
    fn told(&self, code: i32) -> Vec<String> {
        let found = self.run(&["validate", "--output", "json"]).expect(code).json();
        let findings = found["findings"].as_array().expect("findings").iter();
        let errors = findings.filter(|finding| finding["severity"] == "error");
        errors.map(|finding| finding["message"].as_str().expect("text").to_string()).collect()
    }

    async fn mongo(&self) -> mongodb::Database {
        let url = self.env.get("AIPLAT_MIGRATE_MONGO_URL");
        mongodb::Client::with_uri_str(url).await.expect("MongoDB").database(&self.env.name)
    }

    fn validator(&self) -> bson::Document {
        block_on(async {
            let command = doc! { "listCollections": 1, "filter": { "name": "c" } };
            let found = self.mongo().await.run_command(command).await.expect("collections");
            let batch = found.get_document("cursor").expect("cursor").get_array("firstBatch");
            let first = batch.expect("a batch")[0].as_document().expect("a document").clone();
            let options = first.get_document("options").expect("options");
            options.get_document("validator").expect("a validator").clone()
        })
    }

    fn redis(&self, words: &[&str]) -> redis::Value {
        let words: Vec<String> = words.iter().map(|word| self.env.named(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        block_on(witness::redis(&self.env.get("AIPLAT_MIGRATE_REDIS_URL"), &words))
    }

    fn class(&self, method: &str, path: &str, body: Value) -> Value {
        let url = self.env.get("AIPLAT_MIGRATE_WEAVIATE_URL");
        let key = self.env.get("AIPLAT_MIGRATE_WEAVIATE_API_KEY");
        let path = self.env.named(path);
        block_on(witness::weaviate(&url, &key, method, &path, body)).1
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.redis(&["ACL", "DELUSER", "NAME"]);
        let url = self.env.get("AIPLAT_MIGRATE_REDIS_URL");
        block_on(async {
            let client = redis::Client::open(url).expect("URL");
            let mut redis = client.get_multiplexed_async_connection().await.expect("Redis");
            // A test that made none has nothing to delete.
            let delete = &mut redis::cmd("FUNCTION");
            let _ = delete.arg("DELETE").arg(&self.env.name).query_async::<()>(&mut redis).await;
        });
        self.class("DELETE", "/schema/Name", Value::Null);
    }
}

#[test]
fn the_ledger_keeps_templates_and_no_command_shows_a_secret() {
    let project = Project::new();
    project.run(&["plan"]).expect(0);
    project.run(&["up"]).expect(0);
    let shape = project.env.sql("SELECT recorded::text FROM aiplat_migrate.shape").join("\n");
    for template in [
        "'${plain}'::text",
        "'\\\\x${plain}'::bytea",
        "'not ${plain}'::text",
        "{${odd}",
        "SELECT '${plain}' ",
        "the key is ${plain}",
        "\"password\": \"${plain}\"",
        "key ${plain}",
        "~NAME:${plain}:*",
        "return \\\"${plain}\\\" end",
        "\"$ne\": \"${plain}\"",
    ] {
        let template = project.env.named(template);
        assert!(shape.contains(template.trim_start_matches('{')), "{template} in {shape}");
    }
    assert_eq!(project.told(0), Vec::<String>::new());
    project.look_everywhere();
    // Whether today's values are known or not.
    project.run_as(&["validate"], &["PLAIN", "ODD"]).expect(0);
}

#[test]
fn drift_around_a_secret_is_told_and_put_back() {
    let project = Project::new();
    project.run(&["up"]).expect(0);
    let before =
        (project.env.sql("SELECT pg_get_functiondef('app.f'::regproc)"), project.validator());
    let typed = format!("ALTER TABLE app.t ADD typed text DEFAULT '{}'", project.plain());
    project.env.sql(&typed);
    project.env.sql(
        "ALTER TABLE app.t ALTER a SET DEFAULT 'hand', ALTER b SET NOT NULL;
         CREATE OR REPLACE FUNCTION app.f() RETURNS text LANGUAGE sql AS $f$ SELECT 'by hand' $f$;
         COMMENT ON TABLE app.t IS 'by hand'; DROP INDEX app.partial; DROP VIEW app.v",
    );
    block_on(async {
        let command = doc! { "collMod": "c", "validator": { "x": 1 } };
        project.mongo().await.run_command(command).await.expect("collMod");
    });
    project.redis(&["ACL", "SETUSER", "NAME", "+set"]);
    project.look_everywhere();
    let told = project.told(3);
    for part in [
        "column app.t.a",
        "function app.f()",
        "index app.partial",
        "view app.v",
        "collection c",
        "user ",
    ] {
        assert!(told.iter().any(|one| one.contains(part)), "{part}: {told:#?}");
    }
    // What stands in the place of an unknown value may be another secret: it is not written over.
    let plan = project.run(&["repair", "--reapply", "--dry-run"]).expect(3);
    assert!(plan.stdout.contains("${plain}"), "{}", plan.stdout);
    assert!(plan.stdout.contains("is not shown: look at it in the store"), "{}", plan.stdout);
    let missing = project.run_as(&["repair", "--reapply", "--dry-run"], &["PLAIN"]).expect(3);
    assert!(
        missing.stdout.contains("set AIPLAT_MIGRATE_PLACEHOLDER_PLAIN_FILE"),
        "{}",
        missing.stdout
    );
    project.run(&["repair", "--reapply", "--yes"]);
    assert_eq!(
        project.env.sql("SELECT count(*) FROM pg_indexes WHERE indexname = 'partial'"),
        ["1"]
    );
    let definition = project.env.sql("SELECT pg_get_viewdef('app.v'::regclass)").concat();
    assert!(definition.contains(&project.plain()), "{definition}");
    let rights = format!("{:?}", project.redis(&["ACL", "GETUSER", "NAME"]));
    assert!(!rights.contains("+set") && rights.contains(&project.plain()), "{rights}");
    // A person puts the rest right, and all is as recorded.
    project.env.sql(&format!("{}; COMMENT ON TABLE app.t IS 'the key is {1}'; ALTER TABLE app.t ALTER a SET DEFAULT '{1}', ALTER b DROP NOT NULL, DROP typed", before.0.concat(), project.plain()));
    block_on(async {
        let command = doc! { "collMod": "c", "validator": before.1 };
        project.mongo().await.run_command(command).await.expect("collMod");
    });
    assert_eq!(project.told(0), Vec::<String>::new());
    project.look_everywhere();
}

#[test]
fn a_rotated_secret_is_told_where_it_is_known_and_put_back_with_its_new_value() {
    let mut project = Project::new();
    project.run(&["up"]).expect(0);
    project.rotate();
    project.look_everywhere();
    let told = project.told(3);
    for part in [
        "column app.t.a: default '${plain}'::text → '‹another value›'::text",
        "function app.f()",
        "index app.partial",
        "policy po",
        "collection c",
        "class ",
        "function ",
    ] {
        assert!(told.iter().any(|one| one.contains(part)), "{part}: {told:#?}");
    }
    // Where no value of today is known, there is nothing to tell.
    project.run_as(&["validate"], &["PLAIN", "ODD"]).expect(0);
    project.run(&["repair", "--accept-drift", "--yes"]);
    project.look_at_ledger();
    assert!(!project.told(3).is_empty(), "a secret is not accepted");
    project.run(&["repair", "--reapply", "--yes"]);
    project.look_everywhere();
    let plain = project.plain();
    let default = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef d JOIN pg_attribute a \
                   ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE attname = 'a'";
    assert_eq!(project.env.sql(default), [format!("'{plain}'::text")]);
    let body = project.env.sql("SELECT prosrc FROM pg_proc WHERE proname = 'f'").concat();
    assert_eq!(body, format!(" SELECT '{plain}' "));
    assert_eq!(
        project.validator().get_document("x").expect("x").get_str("$ne").ok(),
        Some(plain.as_str())
    );
    let class = project.class("GET", "/schema/Name", Value::Null);
    assert_eq!(class["description"], json!(format!("key {plain}")));
    let left = project.told(3);
    let of_data = [
        "materialized view",
        "table app.part",
        "enum app.en",
        "property ",
        "user mapping",
        "server far",
        "setting ",
        "foreign table",
        "publication",
        "statistics",
        "column app.t.e",
    ];
    for one in &left {
        assert!(of_data.iter().any(|part| one.contains(part)), "{one}");
    }
}

#[test]
fn what_a_step_replaced_comes_back_with_todays_value() {
    let mut project = Project::new();
    project.run(&["up"]).expect(0);
    let first = |project: &Project| {
        project.validator().get_document("x").expect("x").get_str("$ne").ok().map(str::to_string)
    };
    assert_eq!(first(&project), Some(project.plain()));
    project.run_as(&["down", "--store", "mongo", "--yes"], &["PLAIN"]).expect(2);
    project.run(&["down", "--store", "mongo", "--yes"]).expect(0);
    assert!(project.validator().contains_key("y"), "{:?}", project.validator());
    project.run(&["up"]).expect(0);
    project.rotate();
    project.run(&["down", "--store", "mongo", "--yes"]).expect(0);
    assert_eq!(first(&project), Some(project.plain()));
    project.look_at_ledger();
}

/// Passwords that are written out in files are in git, but logs travel further.
#[test]
fn passwords_that_are_written_out_are_in_no_output() {
    let env = TestEnv::new().with(&["mongo", "weaviate", "redis"]);
    let project = Project { env, values: vec!["LiteralPw77".to_string()] };
    let env = &project.env;
    for store in ["mongo", "redis", "weaviate"] {
        env.file(&format!("migrations/{store}/.keep"), "");
    }
    for (file, text) in [
        ("postgres/V1__a.sql", "CREATE ROLE NAME_x PASSWORD 'LiteralPw77';"),
        ("postgres/V2__b.sql", "ALTER ROLE NAME_x\n  PASSWORD\n  'LiteralPw77'\n  NONSENSE;"),
        (
            "postgres/V2__b.sql",
            "-- transaction: off\nALTER ROLE NAME_x PASSWORD 'LiteralPw77' nonsense;",
        ),
        ("postgres/V2__b.sql", "SELECT dblink_connect('host=h password=LiteralPw77');"),
        (
            "postgres/V2__b.sql",
            "DO $$ BEGIN RAISE EXCEPTION 'postgres://u:LiteralPw77@h/d'; END $$;",
        ),
        (
            "postgres/V2__b.sql",
            "DO $$ BEGIN EXECUTE 'CREATE ROLE pg_no PASSWORD ''LiteralPw77'''; END $$;",
        ),
        (
            "mongo/V1__a.json5",
            "{ steps: [{ createUser: 'NAME', pwd: 'LiteralPw77', roles: ['no such role'] }] }",
        ),
        (
            "redis/V1__a.json5",
            "{ steps: [{ acl: { user: 'NAME', rules: ['on', '>LiteralPw77', '+nonsense'] } }] }",
        ),
        (
            "redis/V1__a.json5",
            "{ steps: [{ command: ['ACL', 'SETUSER', 'NAME', '>LiteralPw77', '+nonsense'] }] }",
        ),
    ] {
        let path = env.file(&format!("migrations/{file}"), text);
        for arguments in [
            &["plan"][..],
            &["up", "-vv"],
            &["up", "--log-format", "json"],
            &["status", "--output", "json"],
            &["history"],
            &["validate", "--output", "github"],
        ] {
            project.run(arguments);
        }
        assert!(!file.contains("V1__a.sql") || env.ledger() == ["postgres 1 applied"]);
        project.look_at_ledger();
        if !file.contains("V1__a.sql") {
            std::fs::remove_file(path).expect("the file");
            env.sql("DELETE FROM aiplat_migrate.ledger WHERE state <> 'applied'");
        }
    }
    env.sql("DROP ROLE IF EXISTS NAME_x");
}

/// A secret that is a word, as in many a test environment, stands in other texts by chance: those are not
/// its own, and a rotation must not touch them.
#[test]
fn a_word_is_marked_where_its_migration_wrote_it_and_nowhere_else() {
    let mut env = TestEnv::new();
    let file = env.file("word", "postgres");
    env = env.set("AIPLAT_MIGRATE_PLACEHOLDER_WORD_FILE", &file.display().to_string());
    env.file("aiplat-migrate.toml", "[postgres]\nshape = ['owners', 'grants']\n");
    env.file(
        "migrations/postgres/V1__a.sql",
        "CREATE TABLE other (who text DEFAULT 'postgres');
         CREATE VIEW postgres AS SELECT 1 AS one;",
    );
    env.file(
        "migrations/postgres/V2__b.sql",
        "-- placeholders: on
         CREATE TABLE own (pw text DEFAULT '${word}');
         CREATE VIEW seen AS SELECT one, '${word}'::text AS pw FROM postgres;",
    );
    env.run(&["up"]).expect(0);
    let texts = "SELECT concat_ws(' ', key, value ->> 'default', value ->> 'definition', value ->> 'owner') \
                 FROM aiplat_migrate.shape, jsonb_each(recorded) WHERE value::text LIKE '%postgres%' \
                 OR value::text LIKE '%word%' ORDER BY key COLLATE \"C\"";
    let recorded = env.sql(texts);
    let all = recorded.join("\n");
    assert!(all.contains("column public.other.who 'postgres'::text"), "{all}");
    assert!(all.contains("column public.own.pw '${word}'::text"), "{all}");
    assert!(all.contains("'${word}'::text AS pw\n   FROM public.postgres; postgres"), "{all}");
    env.run(&["validate"]).expect(0);
    std::fs::write(&file, "something else").expect("a file");
    let told = env.run(&["validate", "--output", "json"]).expect(3).json();
    let changed: Vec<&str> = told["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter(|finding| finding["severity"] == "error")
        .map(|finding| finding["change"]["object"].as_str().expect("an object"))
        .collect();
    assert_eq!(changed, ["column public.own.pw", "view public.seen"]);
    env.run(&["repair", "--reapply", "--yes"]).expect(0);
    env.run(&["validate"]).expect(0);
    assert_eq!(env.sql("SELECT pw, one FROM seen"), ["something else|1"]);
    assert_eq!(env.sql("INSERT INTO other DEFAULT VALUES RETURNING who"), ["postgres"]);
}

/// What undoes a step, and what stood before it, are kept without secrets, be these words or not, and
/// wherever the step that wrote them was.
#[test]
fn nothing_that_undoes_a_step_holds_a_secret() {
    let mut env = TestEnv::new().with(&["mongo", "weaviate", "redis"]);
    let file = env.file("word", "hunter");
    env = env.set("AIPLAT_MIGRATE_PLACEHOLDER_WORD_FILE", &file.display().to_string());
    let other = env.file("other", "Zx81-secret");
    env = env.set("AIPLAT_MIGRATE_PLACEHOLDER_OTHER_FILE", &other.display().to_string());
    let values = ["hunter", "prey-of-it", "Zx81-secret"].map(str::to_string).to_vec();
    let project = Project { env, values };
    let env = &project.env;
    env.file("migrations/weaviate/.keep", "");
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ steps: [{ create: 'c', validator: { x: { $ne: '${word}' } } }, { create: 'd' },
                   { collMod: 'c', validator: { x: { $ne: '${word}' }, y: 1 } }] }",
    );
    env.file(
        "migrations/redis/V1__a.json5",
        "{ steps: [{ keyspace: { pattern: 'NAME:{x}', type: 'string', ttl: 'any', purpose: 'of ${word} and ${other}' } }] }",
    );
    project.run(&["up"]).expect(0);
    env.file("migrations/mongo/V2__b.json5", "{ steps: [{ collMod: 'c', validator: { z: 1 } }] }");
    env.file("migrations/redis/V2__b.json5", "{ steps: [{ dropKeyspace: 'NAME:{x}' }] }");
    env.file(
        "migrations/redis/V3__c.json5",
        "{ steps: [{ command: ['SETRANGE', 'NAME:${other}', '0', 'x'] }] }",
    );
    env.file("migrations/redis/U3__c.json5", "{ steps: [{ command: ['DEL', 'NAME:${other}'] }] }");
    project.run(&["up"]).expect(0);
    project.run(&["validate"]).expect(0);
    project.look_at_ledger();
    std::fs::write(&file, "prey-of-it").expect("a file");
    for (store, steps) in [("mongo", "1"), ("redis", "2")] {
        let down = ["down", "--store", store, "--steps", steps, "--allow-data-loss", "--yes"];
        project.run(&down).expect(0);
    }
    project.look_at_ledger();
    let x = project.validator();
    assert_eq!(x.get_document("x").expect("x").get_str("$ne").ok(), Some("prey-of-it"));
}

/// Servers quote a part of what they refuse.
#[test]
fn a_part_of_a_secret_is_hidden_in_what_servers_say() {
    let mut env = TestEnv::new().with(&["mongo", "weaviate", "redis"]);
    let file = env.file("parts", "gr8'Secretpart77'tail55");
    env = env.set("AIPLAT_MIGRATE_PLACEHOLDER_PARTS_FILE", &file.display().to_string());
    let list = env.file("list", "Zebra77,Horse88,Goat99");
    env = env.set("AIPLAT_MIGRATE_PLACEHOLDER_LIST_FILE", &list.display().to_string());
    let values = ["Secretpart77", "Zebra77", "Horse88"].map(str::to_string).to_vec();
    let project = Project { env, values };
    let env = &project.env;
    for store in ["mongo", "redis", "weaviate"] {
        env.file(&format!("migrations/{store}/.keep"), "");
    }
    for text in [
        "CREATE ROLE r PASSWORD '${parts}';",
        "SELECT '{${list}}'::int[];",
        "SELECT '{\"a\": \"x\", ${list} }'::json;",
    ] {
        env.file("migrations/postgres/V1__a.sql", &format!("-- placeholders: on\n{text}"));
        project.run(&["up"]).expect(1);
        project.run(&["history", "--output", "json"]).expect(0);
        project.look_at_ledger();
    }
    let trap = "-- placeholders: on\nSELECT $q$${parts}$q$;";
    env.file("migrations/postgres/V1__a.sql", trap);
    let told = project.run(&["up"]).expect(2);
    told.says(&["`$${parts}` is no placeholder", "V1__a.sql:2:10"]);
}
