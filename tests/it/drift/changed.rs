//! Files that were changed after they were applied: only how they are written, or what they do.

use crate::support::TestEnv;

const WRITING: &str = "only comments or white space differ";
const DOING: &str = "what it does differs";
const UNKNOWN: &str = "cannot be told";

/// What `validate` and the plan of `repair` say of the one changed file.
#[track_caller]
fn differs(env: &TestEnv, words: &str) {
    let found = env.run(&["validate", "--output", "json"]).expect(3).json();
    let message = found["findings"][0]["message"].as_str().expect("message");
    assert!(
        message.contains("changed after it was applied") && message.contains(words),
        "{message}"
    );
    env.run(&["repair", "--accept-changed", "--dry-run"]).expect(0).out(words);
}

#[test]
fn comments_are_told_from_what_a_file_does() {
    let env = TestEnv::new().with(&["mongo"]);
    let (sealed, alone, mongo) = (
        "migrations/postgres/V1__a.sql",
        "migrations/postgres/V2__b.sql",
        "migrations/mongo/V1__a.json5",
    );
    let sql = "-- irreversible: no\ncreate table a (n int, t text default 'a  b');\n";
    let off =
        "-- transaction: off\ncreate table b (n int);\ncreate index concurrently b_n on b (n);\n";
    let json5 = "{ steps: [ { create: 'a' }, { create: 'b', capped: true, size: 4096 } ] }";
    for (file, text) in [(sealed, sql), (alone, off), (mongo, json5)] {
        env.file(file, text);
    }
    env.run(&["up"]).expect(0);
    for (file, applied, texts) in [
        (
            sealed,
            sql,
            [
                (
                    WRITING,
                    "-- Tables.\n--   irreversible:  no\ncreate  table a(\n  n int, -- a number\n  t text default 'a  b'\n);",
                ),
                (DOING, "-- irreversible: no\ncreate table a (n int, t text default 'a b');"),
                (DOING, "-- irreversible: never\ncreate table a (n int, t text default 'a  b');"),
            ],
        ),
        (
            alone,
            off,
            [
                (
                    WRITING,
                    "-- transaction: off\n\ncreate table b (n int); /* then */ create index concurrently b_n on b(n);",
                ),
                (DOING, "-- transaction: off\ncreate table b (n int);"),
                (DOING, "create table b (n int);\ncreate index concurrently b_n on b (n);\n"),
            ],
        ),
        (
            mongo,
            json5,
            [
                (
                    WRITING,
                    "// Two.\n{ \"steps\": [\n { create: \"a\", },\n { 'create': 'b', capped: true, size: 0x1000 },\n ] }",
                ),
                (
                    DOING,
                    "{ steps: [ { create: 'a' }, { create: 'b', capped: true, size: 4097 } ] }",
                ),
                (
                    DOING,
                    "{ steps: [ { create: 'b', capped: true, size: 4096 }, { create: 'a' } ] }",
                ),
            ],
        ),
    ] {
        for (words, text) in texts {
            env.file(file, text);
            differs(&env, words);
        }
        env.file(file, applied);
        env.run(&["validate"]).expect(0);
    }
    // What was accepted is what counts from then on.
    env.file(sealed, &sql.replace("a  b", "c"));
    env.run(&["repair", "--accept-changed", "--yes"]).expect(0).out(DOING);
    env.run(&["validate"]).expect(0);
    env.file(sealed, &sql.replace("a  b", "c").replace("-- ", "--  "));
    differs(&env, WRITING);
    let history = env.run(&["history", "--event", "repaired"]).expect(0).stdout;
    assert!(history.contains("accepted (what it does differs)"), "{history}");
    let details = "SELECT details->'changes'->0->>'before' <> details->'changes'->0->>'after', version \
                   FROM aiplat_migrate.event WHERE event = 'repaired'";
    assert_eq!(env.sql(details), ["t|1"]);
}

#[test]
fn what_has_no_content_checksum_cannot_be_told() {
    let env = TestEnv::new();
    let file = "migrations/postgres/V1__a.sql";
    env.file(file, "create table a (n int);");
    env.run(&["up"]).expect(0);
    env.file(file, "create table a (n int); -- a number");
    differs(&env, WRITING);
    env.sql("UPDATE aiplat_migrate.ledger SET content_checksum = NULL");
    differs(&env, UNKNOWN);
    env.run(&["repair", "--accept-changed", "--yes"]).expect(0);
    env.run(&["validate"]).expect(0);
    env.file(file, "create table a (n int);");
    differs(&env, WRITING);
}

#[test]
fn another_server_is_accepted_by_repair_alone() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/mongo/V1__a.json5", "{ steps: [ { create: 'a' } ] }");
    env.run(&["up"]).expect(0);
    // As after a restore of the ledger beside another replica set.
    env.sql("UPDATE aiplat_migrate.identity SET identity = 'another' WHERE store = 'mongo'");
    env.file("migrations/mongo/V2__b.json5", "{ steps: [ { create: 'b' } ] }");
    let refused = env.run(&["up"]).expect(2);
    refused.says(&["belongs with another MongoDB", "repair --accept-identity --store mongo"]);
    let plan = env.run(&["repair", "--accept-identity", "--dry-run"]).expect(0);
    plan.out("mongo: take the server that is there now as this ledger's: another → ");
    env.run(&["repair", "--accept-identity", "--store", "postgres", "--yes"])
        .expect(0)
        .out("nothing");
    env.run(&["up"]).expect(2);
    env.run(&["repair", "--accept-identity", "--yes"]).expect(0);
    env.run(&["up"]).expect(0);
    let event = "SELECT store, details->>'object', details->'changes'->0->>'before' \
                 FROM aiplat_migrate.event WHERE event = 'repaired'";
    assert_eq!(env.sql(event), ["mongo|identity|another"]);
    let history = env.run(&["history", "--object", "identity"]).expect(0).stdout;
    assert!(history.contains("identity accepted"), "{history}");
    env.run(&["repair", "--accept-identity", "--yes"]).expect(0).out("nothing to repair");
}
