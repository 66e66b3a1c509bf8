//! Commands that a person types: each is killed at its effects, and typed again.

use std::collections::BTreeSet;

use bson::doc;

use super::{Picture, Tally, UP, killed_if_passed, ledger_and_drift, passages_of};
use crate::support::{TestEnv, block_on, required};

/// A command, and all that comes before it.
struct Scenario {
    /// Makes a project and brings it to where the command is typed.
    prepare: fn() -> TestEnv,
    command: &'static [&'static str],
    /// How the command ends.
    code: i32,
    /// The failpoints for which it is here; the others are those of every run.
    own: &'static [&'static str],
    /// Whether its events are compared one by one. Of a repair that is not one transaction and is killed
    /// before its last event, it is enough that one tells of each object.
    events: bool,
}

const SCENARIOS: [Scenario; 12] = [
    Scenario { prepare: applied, command: &["tag", "v1"], code: 0, own: &["tag"], events: true },
    Scenario {
        prepare: || pending(&["create table a (n int);"]),
        command: &["up", "--quiet", "--tag", "v1"],
        code: 0,
        own: &["tag"],
        events: true,
    },
    Scenario {
        prepare: changed,
        command: &["repair", "--accept-changed", "--yes"],
        code: 0,
        own: &["realign"],
        events: true,
    },
    Scenario {
        prepare: missing,
        command: &["repair", "--accept-missing", "--yes"],
        code: 0,
        own: &["forget"],
        events: true,
    },
    Scenario {
        prepare: in_doubt,
        command: &["repair", "--done", "redis@1", "--yes"],
        code: 0,
        own: &["settle_doubt"],
        events: true,
    },
    Scenario {
        prepare: drifted,
        command: &["repair", "--accept-drift", "--yes"],
        code: 0,
        own: &["accept_shape"],
        events: true,
    },
    Scenario {
        prepare: half_repaired,
        command: &["repair", "--reapply", "--yes"],
        code: 0,
        own: &["heal", "put_back", "put_back_build", "put_back_discard"],
        events: true,
    },
    Scenario {
        prepare: drifted_mongo,
        command: &["repair", "--reapply", "--yes"],
        code: 0,
        own: &["heal", "repaired"],
        events: false,
    },
    Scenario {
        prepare: moved,
        command: &["repair", "--accept-identity", "--yes"],
        code: 0,
        own: &["accept_identity"],
        events: false,
    },
    Scenario {
        prepare: half_undone,
        command: &["up", "--finish-undo", "--quiet"],
        code: 0,
        own: &["begin_undo"],
        events: true,
    },
    Scenario {
        prepare: || pending(&["create table a (n int);", "select 1 / 0;"]),
        command: UP,
        code: 1,
        own: &["event"],
        events: false,
    },
    Scenario { prepare: failing_mongo, command: UP, code: 1, own: &["fail"], events: false },
];

fn pending(texts: &[&str]) -> TestEnv {
    let env = TestEnv::new();
    for (at, text) in texts.iter().enumerate() {
        env.file(&format!("migrations/postgres/V{}__n.sql", at + 1), text);
    }
    env
}

fn applied() -> TestEnv {
    let env = pending(&["create table a (n int);\ncreate index a_n on a (n);", "select 1;"]);
    env.run(UP).expect(0);
    env
}

fn changed() -> TestEnv {
    let env = applied();
    env.file("migrations/postgres/V2__n.sql", "select 2;");
    env
}

fn missing() -> TestEnv {
    let env = applied();
    env.remove("migrations/postgres/V1__n.sql");
    env
}

fn moved() -> TestEnv {
    let env = applied();
    env.sql("UPDATE aiplat_migrate.identity SET identity = 'another'");
    env
}

fn drifted() -> TestEnv {
    let env = applied();
    env.sql("DROP INDEX a_n");
    env
}

/// With a view that goes back at once, an index that is built first, and what a repair that was cut off
/// left of it.
fn half_repaired() -> TestEnv {
    let env = pending(&["create table a (n int);\ncreate index a_n on a (n);\n\
                         create view v as select n from a;"]);
    env.run(UP).expect(0);
    env.sql("DROP INDEX a_n");
    let repair = ["repair", "--reapply", "--yes"];
    assert!(killed_if_passed(&env, &repair, "put_back_build:after"), "a build");
    env.sql("DROP VIEW v");
    env
}

/// The file names what is shared by a placeholder, so that its checksum is the same each time.
fn in_doubt() -> TestEnv {
    let env = TestEnv::new().with(&["redis"]);
    let name = env.name.clone();
    let env = env.set("AIPLAT_MIGRATE_PLACEHOLDER_NAME", &name);
    let text = "{ steps: [ { command: ['SET', '${name}', 'x', 'EX', '300'] } ] }";
    env.file("migrations/redis/V1__raw.json5", text);
    assert!(killed_if_passed(&env, UP, "apply:after"), "a raw command");
    env.run(UP).expect(1);
    env
}

fn mongo(files: &[&str]) -> TestEnv {
    let env = TestEnv::new().with(&["mongo"]);
    for (at, text) in files.iter().enumerate() {
        env.file(&format!("migrations/mongo/V{}__n.json5", at + 1), text);
    }
    env
}

fn drifted_mongo() -> TestEnv {
    let env = mongo(&["{ steps: [ { create: 'a' }, \
         { createIndexes: 'a', indexes: [ { key: { x: 1 }, name: 'x' } ] } ] }"]);
    env.run(UP).expect(0);
    block_on(async {
        let client = mongodb::Client::with_uri_str(required("TEST_MONGO_URL")).await;
        let database = client.expect("MongoDB").database(&env.name);
        let drop = doc! { "dropIndexes": "a", "index": "x" };
        database.run_command(drop).await.expect("drop");
    });
    env
}

fn half_undone() -> TestEnv {
    let env = mongo(&["{ steps: [ { create: 'a' }, { create: 'b' } ] }"]);
    env.run(UP).expect(0);
    let down = ["down", "--yes", "--allow-data-loss", "--quiet"];
    assert!(killed_if_passed(&env, &down, "settle_step:after@1"), "a down");
    env
}

fn failing_mongo() -> TestEnv {
    mongo(&["{ steps: [ { create: 'a' }, { create: 'b', capped: true, size: -1 } ] }"])
}

/// Where a project stands, its own name taken out, since each run has a project of its own. That the
/// next repair dropped what one that was cut off left is told only where it was cut off then.
fn stand(env: &TestEnv, events: bool) -> Picture {
    let mut lines = ledger_and_drift(env);
    lines.extend(env.sql("SELECT 'tag', name, rows FROM aiplat_migrate.tag ORDER BY name"));
    lines.extend(env.sql(
        "SELECT DISTINCT 'told of', store, details->>'object' FROM aiplat_migrate.event \
         WHERE event = 'repaired' AND details->>'object' NOT LIKE '%.aiplat_migrate_%' ORDER BY 1, 2, 3",
    ));
    if events {
        lines.extend(env.sql(
            "SELECT 'told', store, kind, version, event, details - 'run', count(*) \
             FROM aiplat_migrate.event WHERE event IN ('tagged', 'repaired') \
             AND coalesce(details->>'object', '') NOT LIKE '%.aiplat_migrate_%' \
             GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6",
        ));
    }
    let plain = |line: &String| line.replace(&env.name, "NAME").replace(&env.class(), "Name");
    Picture(lines.iter().map(plain).collect())
}

/// Migrations that the ledger says were applied, or undone, more than once.
pub fn applied_twice(env: &TestEnv) -> usize {
    if env.sql("SELECT to_regclass('aiplat_migrate.event')") == ["NULL"] {
        return 0;
    }
    let twice = env.sql(
        "SELECT count(*) FROM (SELECT FROM aiplat_migrate.event WHERE event IN ('applied', 'undone') \
         GROUP BY store, kind, version, event HAVING count(*) > 1) twice",
    );
    twice.iter().filter_map(|count| count.parse::<usize>().ok()).sum()
}

impl Scenario {
    fn killed(&self) -> (BTreeSet<String>, Tally) {
        let env = (self.prepare)();
        // `up --finish-undo` applies anew what an earlier `up` of the scenario had applied.
        let before = applied_twice(&env);
        let (passed, finished) = passages_of(&env, self.command);
        assert_eq!(finished.code, self.code, "{:?}: {}", self.command, finished.stderr);
        let expected = stand(&env, self.events);
        let twice = applied_twice(&env) - before;
        let is_own = |place: &str| {
            self.own.iter().any(|own| place.strip_prefix(own).is_some_and(|r| r.starts_with(':')))
        };
        for own in self.own {
            assert!(passed.iter().any(|place| is_own(place)), "{:?}: no {own}", self.command);
        }
        let (mut reached, mut tally) = (BTreeSet::new(), Tally::default());
        for place in passed.iter().filter(|place| is_own(place)) {
            let env = (self.prepare)();
            let killed = killed_if_passed(&env, self.command, place);
            let again = env.run(self.command);
            let found = stand(&env, self.events);
            tally.kills += usize::from(killed);
            tally.doubled += applied_twice(&env).saturating_sub(twice);
            if again.code != self.code {
                tally.by_hand += 1;
                println!(
                    "CHAOS FAILED {:?} at {place}: {}\n{}",
                    self.command, again.code, again.stderr
                );
            } else if found == expected {
                tally.converged += usize::from(killed);
            } else {
                let difference = expected.difference(&found);
                println!("CHAOS FAILED {:?} at {place}\n{difference}", self.command);
            }
            reached.extend(place.split('@').next().map(str::to_string));
        }
        (reached, tally)
    }
}

/// Kills what people type at the failpoints that hardly anything else passes, and types it again.
/// Gives the names of the failpoints and what became of the commands.
pub fn by_people() -> (BTreeSet<String>, Tally) {
    let threads: Vec<_> =
        SCENARIOS.iter().map(|scenario| std::thread::spawn(move || scenario.killed())).collect();
    let (mut reached, mut tally) = (BTreeSet::new(), Tally::default());
    for thread in threads {
        let (names, more) = thread.join().expect("no failure");
        reached.extend(names);
        tally += more;
    }
    (reached, tally)
}
