//! `down`: what it takes back, in which order, and what it refuses.

mod kafka;
mod live;
mod losses;
mod mongo;
mod points;
mod redis;
mod rehearsal;
mod weaviate;

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Finished, TestEnv, finish};

fn five() -> TestEnv {
    TestEnv::new().with(&["mongo", "weaviate", "kafka", "redis"])
}

/// The migrations that a run settled, in that order.
fn settled(finished: &Finished, verb: &str) -> Vec<String> {
    let lines = finished.stderr.lines().filter(|line| line.starts_with(verb));
    lines.filter_map(|line| line.split_whitespace().nth(1)).map(String::from).collect()
}

fn undone(finished: &Finished) -> Vec<String> {
    settled(finished, "undone")
}

fn table(env: &TestEnv, version: u32, name: &str) {
    env.file(
        &format!("migrations/postgres/V{version}__t.sql"),
        &format!("create table {name} (id int);"),
    );
    env.file(&format!("migrations/postgres/U{version}__t.sql"), &format!("drop table {name};"));
}

// Points and tags

#[test]
fn a_tag_means_the_same_migrations_after_down_and_up() {
    let env = TestEnv::new();
    table(&env, 1, "a");
    table(&env, 2, "b");
    env.run(&["up", "--tag", "v1"]).expect(0);
    assert!(env.run(&["status"]).expect(0).stdout.contains("tags: v1 (the present point)"));
    table(&env, 3, "c");
    env.run(&["up"]).expect(0);
    let status = env.run(&["status"]).expect(0).stdout;
    assert!(status.contains("tags: v1\n"), "{status}");
    // The rows of the tagged ones are others now.
    env.run(&["down", "--all", "--yes"]).expect(0);
    env.run(&["up"]).expect(0);
    let down = env.run(&["down", "--to-tag", "v1", "--yes"]).expect(0);
    assert_eq!(undone(&down), ["postgres@3"]);
    assert_eq!(env.sql("SELECT to_regclass('b'), to_regclass('c')"), ["b|NULL"]);
    let json = env.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!((&json["tags"][0], &json["tags_here"][0]), (&"v1".into(), &"v1".into()));
    let history = env.run(&["history", "--event", "tagged"]).expect(0).stdout;
    assert!(history.contains("tagged") && history.contains("\"tag\":\"v1\""), "{history}");
    // One that stood is gone since: `down` says so, and applies nothing.
    env.run(&["down", "--yes"]).expect(0);
    env.run(&["down", "--to-tag", "v1", "--dry-run"])
        .expect(0)
        .out("postgres@2 stood at v1 and does not now");
}

#[test]
fn a_tag_is_given_once_and_has_a_plain_name() {
    let env = TestEnv::new();
    table(&env, 1, "a");
    for bad in ["", "-x", "v 1", "v'1"] {
        env.run(&["up", &format!("--tag={bad}")]).expect(2);
        env.run(&["tag", "--", bad]).expect(2);
    }
    assert_eq!(env.sql("SELECT to_regclass('a')"), ["NULL"], "the name is read first");
    env.run(&["up", "--tag", "release/1.4"]).expect(0);
    // A Job that starts again gives the same tag again.
    env.run(&["up", "--tag", "release/1.4"]).expect(0);
    env.run(&["tag", "release/1.4"]).expect(0).out("this very point already");
    table(&env, 2, "b");
    env.run(&["up", "--tag", "release/1.4"])
        .expect(1)
        .says(&["given before", "nothing was applied"]);
    assert_eq!(
        env.sql("SELECT to_regclass('b')"),
        ["NULL"],
        "nothing is applied under a tag that fails"
    );
    env.run(&["down", "--to-tag", "nope", "--yes"])
        .expect(2)
        .says(&["no tag `nope`", "release/1.4"]);
}

#[test]
fn down_to_a_version_takes_dependants_and_leaves_no_gap() {
    let env = TestEnv::new().with(&["mongo"]);
    table(&env, 1, "a");
    table(&env, 2, "b");
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    env.file(
        "migrations/mongo/V2__b.json5",
        "{ requires: ['postgres@2'], steps: [{ create: 'b' }] }",
    );
    env.file("migrations/mongo/V3__c.json5", "{ steps: [{ create: 'c' }] }");
    env.run(&["up"]).expect(0);
    env.run(&["down", "--to", "postgres@7", "--yes"])
        .expect(2)
        .says(&["postgres@7 is not applied"]);
    env.run(&["down", "--to", "postgres@1", "--store", "postgres", "--yes"])
        .expect(2)
        .says(&["mongo@2 depends on what is to be undone"]);
    let down = env.run(&["down", "--to", "postgres@1", "--yes"]).expect(0);
    assert_eq!(undone(&down), ["mongo@3", "mongo@2", "postgres@2"]);
    env.run(&["up"]).expect(0);
    assert_eq!(undone(&env.run(&["down", "--to", "mongo@0", "--yes"]).expect(0)).len(), 3);
}

#[test]
fn the_old_image_goes_back_by_the_text_in_the_ledger() {
    let env = five();
    let settings = |extra: &str| {
        env.file("aiplat-migrate.toml", &format!("[placeholders]\nshared = \"s\"\n{extra}"));
    };
    settings("");
    table(&env, 1, "a");
    let steps = |store: &str, version: u32, requires: &str, steps: &str| {
        let path = format!("migrations/{store}/V{version}__x.json5");
        env.file(&path, &format!("{{ requires: [{requires}], steps: [{steps}] }}"));
    };
    steps("mongo", 1, "", "{ create: 'a' }");
    let topic = |name: &str| {
        format!("{{ createTopic: {{ name: 'NAME.{name}', partitions: 1, replicationFactor: 1 }} }}")
    };
    steps("kafka", 1, "", &topic("a"));
    steps("weaviate", 1, "", "{ createClass: { class: 'NameA', vectorizer: 'none' } }");
    steps(
        "redis",
        1,
        "",
        "{ keyspace: { pattern: 'NAME:a:{id}', type: 'hash', ttl: '1h', purpose: 'x' } }",
    );
    env.run(&["up", "--tag", "v1"]).expect(0);
    let at_v1 = live::picture(&env);

    settings("newer = \"more\"");
    env.file("secret", "hunter2");
    let env = env.set("AIPLAT_MIGRATE_PLACEHOLDER_PW_FILE", "secret");
    let steps = |store: &str, requires: &str, steps: &str| {
        let path = format!("migrations/{store}/V2__x.json5");
        env.file(&path, &format!("{{ requires: [{requires}], steps: [{steps}] }}"));
    };
    steps(
        "mongo",
        "'postgres@1'",
        "{ create: 'b_${newer}' }, { collMod: 'a', validator: { x: 1 } }, { createIndexes: 'a', indexes: [{ key: { z: 1, a: -1 }, name: 'za' }] }",
    );
    steps(
        "kafka",
        "'mongo@2'",
        &format!(
            "{}, {{ alterConfigs: {{ topic: 'NAME.a', set: {{ 'retention.ms': '1000000' }} }} }}",
            topic("b.${newer}")
        ),
    );
    steps(
        "weaviate",
        "'kafka@2'",
        "{ createClass: { class: 'NameB', vectorizer: 'none' } }, { updateClass: { class: 'NameA', set: { description: 'changed' } } }",
    );
    steps(
        "redis",
        "'weaviate@2'",
        "{ keyspace: { pattern: 'NAME:a:{id}', type: 'hash', ttl: '2h', purpose: 'x' } }, { keyspace: { pattern: 'NAME:b:{id}', type: 'set', ttl: 'any', purpose: 'x' } }",
    );
    env.file("migrations/postgres/V2__x.sql", "-- requires: redis@2\n-- placeholders: on\ncreate table ${newer} (id int); comment on table a is '${pw}';");
    env.file("migrations/postgres/U2__x.sql", "-- placeholders: on\ndrop table ${newer}; comment on table a is null; -- ${pw} ${shared}\n");
    env.run(&["up"]).expect(0);
    assert_ne!(live::picture(&env), at_v1);

    for store in ["mongo", "kafka", "weaviate", "redis"] {
        env.remove(&format!("migrations/{store}/V2__x.json5"));
    }
    env.remove("migrations/postgres/V2__x.sql");
    env.remove("migrations/postgres/U2__x.sql");
    // The old image knows nothing of the newer placeholder, and another value of the shared one.
    env.file("aiplat-migrate.toml", "[placeholders]\nshared = \"other\"\n");
    let kept = env.sql("SELECT string_agg(down::text, ' ') FROM aiplat_migrate.ledger");
    assert!(!kept[0].contains("hunter2") && kept[0].contains("more"), "{kept:?}");
    let env = env.set("AIPLAT_MIGRATE_PLACEHOLDER_PW_FILE", "");
    env.run(&["down", "--to-tag", "v1", "--yes"]).expect(2).says(&[
        "undoing postgres@2 needs the secret placeholder `pw`",
        "AIPLAT_MIGRATE_PLACEHOLDER_PW_FILE",
        "nothing was undone",
    ]);
    let env = env.set("AIPLAT_MIGRATE_PLACEHOLDER_PW_FILE", "secret");
    let down = env.run(&["down", "--to-tag", "v1", "--yes"]).expect(0);
    assert_eq!(undone(&down), ["postgres@2", "redis@2", "weaviate@2", "kafka@2", "mongo@2"]);
    let down = down.says(&["the placeholder `shared` is not what it was"]);
    assert!(!down.stderr.contains("hunter2"), "{}", down.stderr);
    assert_eq!(live::picture(&env), at_v1);
    live::assert_valid(&env);
    env.run(&["down", "--all", "--yes"]).expect(0);
}

#[test]
fn a_u_file_that_changed_is_used_and_said() {
    let env = TestEnv::new();
    table(&env, 1, "a");
    env.run(&["up"]).expect(0);
    env.file("migrations/postgres/U1__t.sql", "drop table a; create table other (id int);");
    env.run(&["down", "--dry-run"])
        .expect(0)
        .out("is not what was recorded when postgres@1 was applied: the file is used");
    env.run(&["down", "--yes"]).expect(0).says(&["the file is used"]);
    assert_eq!(env.sql("SELECT to_regclass('a'), to_regclass('other')"), ["NULL|other"]);
}

// What cannot be undone

#[test]
fn what_cannot_be_undone_stops_everything_with_the_list() {
    let env = five();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("migrations/mongo/V1__a.json5", "{ requires: ['postgres@1'], steps: [{ create: 'a' }, { insert: 'a', documents: [{ _id: 1 }] }] }");
    env.file("migrations/kafka/V1__a.json5", "{ requires: ['mongo@1'], irreversible: 'consumers are gone', steps: [{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }] }");
    env.file(
        "migrations/kafka/V2__a.json5",
        "{ steps: [{ createPartitions: { topic: 'NAME', count: 2 } }] }",
    );
    env.file("migrations/weaviate/V1__a.json5", "{ requires: ['kafka@2'], steps: [{ createClass: { class: 'Name', vectorizer: 'none' } }, { addProperty: { class: 'Name', property: { name: 'p', dataType: ['text'] } } }] }");
    env.file(
        "migrations/redis/V1__a.json5",
        "{ requires: ['weaviate@1'], steps: [{ rewrite: { match: 'NAME:x:*', delete: true } }] }",
    );
    table(&env, 2, "b");
    env.run(&["up"]).expect(0);
    let before = live::picture(&env);
    for arguments in [vec!["down", "--all", "--yes"], vec!["down", "--all", "--dry-run"]] {
        env.run(&arguments).expect(1).says(&[
            "postgres@1",
            "it has no U file",
            "U1__a.sql",
            "mongo@1",
            "`insert` has no inverse",
            "kafka@1",
            "consumers are gone",
            "kafka@2",
            "cannot take partitions away",
            "weaviate@1",
            "cannot drop a property",
            "redis@1",
            "deleted keys are not kept",
            "nothing was undone",
        ]);
    }
    assert_eq!(live::picture(&env), before);
    assert!(env.ledger().iter().all(|row| row.ends_with(" applied")), "{:?}", env.ledger());
    live::sweep(&env);
}

// Data

/// Five migrations, one per store, each with one item in it, undone in the order redis, weaviate,
/// kafka, mongo, postgres.
fn with_data() -> TestEnv {
    let env = five();
    env.file(
        "migrations/postgres/V1__a.sql",
        "create schema s; create table s.a (id int); create table b (id int);",
    );
    env.file("migrations/postgres/U1__a.sql", "drop table b; drop schema s cascade;");
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ requires: ['postgres@1'], steps: [{ create: 'a' }] }",
    );
    env.file("migrations/kafka/V1__a.json5", "{ requires: ['mongo@1'], steps: [{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }] }");
    env.file("migrations/weaviate/V1__a.json5", "{ requires: ['kafka@1'], steps: [{ createClass: { class: 'Name', vectorizer: 'none' } }] }");
    env.file("migrations/redis/V1__a.json5", "{ requires: ['weaviate@1'], steps: [{ keyspace: { pattern: 'NAME:a:{id}', type: 'string', ttl: 'any', purpose: 'x' } }] }");
    env.file("migrations/redis/U1__a.json5", "{ steps: [{ rewrite: { match: 'NAME:a:*', delete: true } }, { dropKeyspace: 'NAME:a:{id}' }] }");
    env.run(&["up"]).expect(0);
    env
}

#[test]
fn nothing_that_holds_data_is_dropped_without_a_yes() {
    let env = with_data();
    live::produce(&env.name);
    live::insert_document(&env, "a");
    live::insert_object(&env.class());
    live::set_key(&format!("{}:a:1", env.name));
    env.sql("INSERT INTO s.a VALUES (1); INSERT INTO b VALUES (1), (2)");
    let before = live::picture(&env);
    let figures = [
        format!("kafka@1: topic {} holds 1 message", env.name),
        "mongo@1: collection a holds 1 document".to_string(),
        format!("weaviate@1: class {} holds 1 object", env.class()),
        format!("redis@1: {}:a:* matches 1 key", env.name),
        "postgres@1: table s.a holds 1 row".to_string(),
        "postgres@1: table b holds 2 rows".to_string(),
    ];
    let refused = env.run(&["down", "--all", "--yes"]).expect(1);
    let refused =
        refused.says(&["this would lose data", "nothing was undone", "--allow-data-loss"]);
    let planned = env.run(&["down", "--all", "--dry-run"]).expect(0);
    for figure in &figures {
        assert!(refused.stderr.contains(figure), "no `{figure}` in\n{}", refused.stderr);
        let (_, loss) = figure.split_once(": ").expect("figure");
        planned.out(&format!("! loses data: {loss}"));
    }
    assert_eq!(live::picture(&env), before);
    assert!(env.ledger().iter().all(|row| row.ends_with(" applied")), "{:?}", env.ledger());
    env.run(&["down", "--all", "--yes", "--allow-data-loss"]).expect(0);
    assert!(live::picture(&env).is_empty(), "{:?}", live::picture(&env));
}

/// The one that holds data would be undone last: those before it must not be touched.
#[test]
fn each_store_by_itself_stops_all_the_others() {
    let env = with_data();
    let before = live::picture(&env);
    let refused = |figure: &str| {
        env.run(&["down", "--all", "--yes"]).expect(1).says(&[figure, "nothing was undone"]);
        assert!(env.ledger().iter().all(|row| row.ends_with(" applied")), "{:?}", env.ledger());
    };
    env.sql("INSERT INTO s.a VALUES (1)");
    refused("table s.a holds 1 row");
    env.sql("DELETE FROM s.a");
    live::insert_document(&env, "a");
    refused("collection a holds 1 document");
    live::empty_collection(&env, "a");
    live::set_key(&format!("{}:a:1", env.name));
    refused("matches 1 key");
    live::delete_key(&format!("{}:a:1", env.name));
    assert_eq!(live::picture(&env), before);
    live::produce(&env.name);
    refused(&format!("topic {} holds 1 message", env.name));
    env.run(&["down", "--steps", "2", "--yes"]).expect(0);
    live::insert_document(&env, "a");
    assert_eq!(
        env.run(&["down", "--all", "--yes"]).expect(1).stderr.matches(" holds 1 ").count(),
        2
    );
    env.run(&["down", "--all", "--yes", "--allow-data-loss"]).expect(0);
}

#[test]
fn a_name_that_the_plan_changes_first_is_counted_under_its_present_one() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    env.file("migrations/mongo/V2__b.json5", "{ steps: [{ renameCollection: 'a', to: 'b' }] }");
    table(&env, 1, "a");
    env.file("migrations/postgres/V2__b.sql", "alter table a rename to b;");
    env.file("migrations/postgres/U2__b.sql", "alter table b rename to a;");
    env.run(&["up"]).expect(0);
    live::insert_document(&env, "b");
    env.sql("INSERT INTO b VALUES (1)");
    env.run(&["down", "--all", "--yes"]).expect(1).says(&[
        "mongo@1: collection b holds 1 document",
        "postgres@1: table b holds 1 row",
        "nothing was undone",
    ]);
    assert!(env.ledger().iter().all(|row| row.ends_with(" applied")), "{:?}", env.ledger());
}

#[test]
fn what_was_found_is_never_dropped() {
    let env = TestEnv::new().with(&["weaviate", "kafka"]);
    let others = TestEnv::new().with(&["weaviate", "kafka"]);
    for project in [&env, &others] {
        let own = |text: &str| text.replace("NAME", &env.name).replace("Name", &env.class());
        project.file("migrations/kafka/V1__a.json5", &own("{ steps: [{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }] }"));
        project.file(
            "migrations/weaviate/V1__a.json5",
            &own("{ steps: [{ createClass: { class: 'Name', vectorizer: 'none' } }] }"),
        );
    }
    others.run(&["up"]).expect(0);
    live::produce(&env.name);
    env.run(&["up"]).expect(0).says(&["was there already"]);
    let before = live::picture(&env);
    assert_eq!(before.len(), 2, "{before:?}");
    env.run(&["down", "--all", "--yes"]).expect(0);
    assert_eq!(live::picture(&env), before);
    others.run(&["down", "--all", "--yes", "--allow-data-loss"]).expect(0);
    assert!(live::picture(&env).is_empty());
}

// Asking

#[test]
fn a_person_is_asked_and_nobody_else_can_say_yes() {
    let env = TestEnv::new();
    table(&env, 1, "a");
    env.run(&["up"]).expect(0);
    env.run(&["down"]).expect(2).says(&["not confirmed", "--yes", "nothing was undone"]);
    let asked = |answer: &str| {
        let bin = env!("CARGO_BIN_EXE_aiplat-migrate");
        let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
        let mut terminal = std::process::Command::new("script");
        terminal.args(["-qec", &format!("{bin} down"), "/dev/null"]).current_dir(env.path());
        terminal.env("AIPLAT_MIGRATE_POSTGRES_URL", url);
        terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = terminal.spawn().expect("script (util-linux)");
        child.stdin.as_mut().expect("stdin").write_all(answer.as_bytes()).expect("answer");
        finish(child)
    };
    asked("n\n").expect(2).out("undo postgres@1").out("Undo this? [y/N]").out("not confirmed");
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
    asked("y\n").expect(0);
    assert_eq!(env.ledger(), ["postgres 1 undone"]);
}

#[test]
fn a_dry_run_shows_the_plan_though_a_store_cannot_be_reached() {
    let env = TestEnv::new().with(&["redis"]);
    table(&env, 1, "a");
    env.file("migrations/redis/V1__a.json5", "{ steps: [{ keyspace: { pattern: 'NAME:{id}', type: 'hash', ttl: '1h', purpose: 'x' } }] }");
    env.run(&["up"]).expect(0);
    env.sql("INSERT INTO a VALUES (1)");
    let env = env.set("AIPLAT_MIGRATE_REDIS_URL", "redis://127.0.0.1:1/0");
    let dry = env.run(&["down", "--all", "--dry-run"]).expect(0);
    dry.out("table a holds 1 row").out("it was not looked whether Redis holds data");
    let json = env.run(&["down", "--all", "--dry-run", "--output", "json"]).expect(0).json();
    assert!(
        json["migrations"]
            .as_array()
            .expect("list")
            .iter()
            .any(|migration| { migration["steps"][0]["losses"][0] == "table a holds 1 row" }),
        "{json}"
    );
    env.run(&["down", "--all", "--yes"]).expect(6).says(&["nothing was undone"]);
    assert!(env.ledger().iter().all(|row| row.ends_with(" applied")), "{:?}", env.ledger());
}

// Interrupted

/// A `down` of postgres@1 that was killed in the second step of its U file.
fn killed_down() -> TestEnv {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int); create table b (id int);");
    env.file("migrations/postgres/U1__a.sql", "-- transaction: off\ndrop table if exists a;\nselect pg_sleep(2);\ndrop table if exists b;");
    env.run(&["up"]).expect(0);
    let mut down = env.spawn(&["down", "--yes"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    let state = "SELECT state, steps_done FROM aiplat_migrate.ledger";
    while env.sql(state) != ["undoing|1"] {
        assert!(Instant::now() < deadline, "{:?}", env.sql(state));
        std::thread::sleep(Duration::from_millis(50));
    }
    down.kill().expect("kill");
    down.wait().expect("wait");
    env
}

#[test]
fn a_killed_down_is_finished_by_the_next_one() {
    let env = killed_down();
    env.run(&["up"]).expect(1).says(&["the undoing of postgres@1 was begun", "up --finish-undo"]);
    env.run(&["tag", "x"]).expect(1).says(&["postgres@1 is undoing"]);
    let status = env.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(status["migrations"][0]["state"], "undoing");
    let down = env.run(&["down", "--yes"]).expect(0);
    assert_eq!(undone(&down), ["postgres@1"]);
    assert_eq!(env.sql("SELECT to_regclass('a'), to_regclass('b')"), ["NULL|NULL"]);
    assert_eq!(env.ledger(), ["postgres 1 undone"]);
}

#[test]
fn up_finishes_a_killed_down_and_applies_anew_when_asked() {
    let env = killed_down();
    env.run(&["up", "--finish-undo", "--dry-run"]).expect(0).out("undo postgres@1");
    assert_eq!(env.ledger(), ["postgres 1 undoing"]);
    env.run(&["up", "--finish-undo"]).expect(0).says(&["undone", "applied"]);
    assert_eq!(env.sql("SELECT to_regclass('a'), to_regclass('b')"), ["a|b"]);
    assert_eq!(env.ledger(), ["postgres 1 undone", "postgres 1 applied"]);
    env.run(&["up", "--finish-undo"]).expect(0);
}

#[test]
fn what_failed_half_way_is_undone_as_far_as_it_went() {
    let env = TestEnv::new().with(&["kafka"]);
    env.file("migrations/kafka/V1__a.json5", "{ steps: [{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }, { alterConfigs: { topic: 'NAME.none', set: { 'retention.ms': '1' } } }] }");
    env.run(&["up"]).expect(1);
    assert_eq!(env.ledger(), ["kafka 1 failed"]);
    assert!(!live::picture(&env).is_empty());
    env.run(&["down", "--yes"]).expect(0);
    assert_eq!(env.ledger(), ["kafka 1 undone"]);
    assert!(live::picture(&env).is_empty());
}

// Repeatables, redo, validate

#[test]
fn repeatables_stay_and_run_again() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("migrations/postgres/U1__a.sql", "drop table a cascade;");
    env.file("migrations/postgres/R__views.sql", "create or replace view v as select id from a;");
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    env.file(
        "migrations/mongo/R__rules.json5",
        "{ requires: ['mongo@1'], steps: [{ collMod: 'a', validator: { x: 1 } }] }",
    );
    env.run(&["up"]).expect(0);
    env.file(
        "migrations/mongo/R__rules.json5",
        "{ requires: ['mongo@1'], steps: [{ collMod: 'a', validator: { x: 2 } }] }",
    );
    env.run(&["up"]).expect(0);
    let down = env.run(&["down", "--all", "--yes"]).expect(0).says(&["views", "stays"]);
    assert_eq!(undone(&down).len(), 2, "{}", down.stderr);
    assert_eq!(env.sql("SELECT to_regclass('v')"), ["NULL"], "dropped by CASCADE");
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT to_regclass('v')"), ["v"]);
    env.run(&["validate"]).expect(0);
    assert!(env.run(&["up"]).expect(0).stdout.contains("nothing is pending"));
}

#[test]
fn redo_takes_the_newest_back_and_applies_its_file_as_it_is_now() {
    let env = TestEnv::new();
    table(&env, 1, "a");
    table(&env, 2, "b");
    env.run(&["up"]).expect(0);
    env.file("migrations/postgres/V2__t.sql", "create table b (id int, name text);");
    env.run(&["redo", "--dry-run"]).expect(0).out("undo postgres@2");
    env.run(&["redo"]).expect(2).says(&["not confirmed"]);
    env.run(&["redo", "--yes"]).expect(0).says(&["undone", "applied"]);
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'b'";
    assert_eq!(env.sql(columns), ["2"]);
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 undone", "postgres 2 applied"]);
    // What would stop the `up` stops the `down`.
    env.file("migrations/postgres/V2__t.sql", "create table b (id int); commit;");
    env.run(&["redo", "--yes"]).expect(2).says(&["did not begin", "nothing was undone"]);
    env.file("migrations/postgres/V1__t.sql", "create table a (id bigint);");
    env.file("migrations/postgres/V2__t.sql", "create table b (id int);");
    env.run(&["redo", "--yes"])
        .expect(3)
        .says(&["was changed after it was applied", "nothing was undone"]);
    env.file("migrations/postgres/V1__t.sql", "create table a (id int);");
    env.sql("INSERT INTO b VALUES (1)");
    env.run(&["redo", "--yes"]).expect(1).says(&["table b holds 1 row"]);
    env.run(&["redo", "--yes", "--allow-data-loss"]).expect(0);
    env.remove("migrations/postgres/V2__t.sql");
    env.remove("migrations/postgres/U2__t.sql");
    env.run(&["redo", "--yes"])
        .expect(2)
        .says(&["the file of postgres@2 is gone", "nothing was undone"]);
    assert_eq!(env.ledger().last().map(String::as_str), Some("postgres 2 applied"));
}

#[test]
fn validate_offline_warns_of_what_nothing_undoes() {
    let env = TestEnv::new();
    table(&env, 1, "a");
    env.file("migrations/postgres/V2__b.sql", "create table b (id int);");
    env.file(
        "migrations/postgres/V3__c.sql",
        "-- irreversible: the old rows are gone\ncreate table c (id int);",
    );
    let said = env.run(&["validate", "--offline"]).expect(0).stdout;
    assert!(said.contains("V2__b.sql has no U file, and does not say why"), "{said}");
    assert!(!said.contains("V1__t.sql") && !said.contains("V3__c.sql"), "{said}");
}
