//! Killed anywhere, it goes on: one run is killed at each failpoint, the next ends where an
//! undisturbed one would have.

#![expect(clippy::print_stdout, reason = "the table that dev/chaos ends with")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::chaos::{
    ALL, DOWN, Dice, Picture, Project, Tally, UP, by_people, files, in_source, killed_at,
    killed_if_passed, killed_within, passages, picture, sources,
};
use crate::moved::moved_and_killed;
use crate::support::TestEnv;

/// What an undisturbed `up` and `down` pass, where they end, and how long they take.
struct Undisturbed {
    up: Vec<String>,
    applied: Picture,
    down: Vec<String>,
    undone: Picture,
    spans: [Duration; 2],
}

fn undisturbed_run(project: &Project) -> Undisturbed {
    project.reset();
    let began = Instant::now();
    let up = passages(&project.env, UP);
    let up_took = began.elapsed();
    let applied = picture(project);
    let began = Instant::now();
    let down = passages(&project.env, DOWN);
    let spans = [up_took, began.elapsed()];
    let undone = picture(project);
    assert_eq!(project.doubled(), 0, "{}", project.store);
    Undisturbed { up, applied, down, undone, spans }
}

/// Projects of one store, one after another: what a failed recovery leaves is no ground to go on from.
struct World {
    store: &'static str,
    project: Project,
    expected: Undisturbed,
    tally: Tally,
}

impl World {
    fn of(store: &'static str) -> World {
        let project = Project::of(store);
        let expected = undisturbed_run(&project);
        World { store, project, expected, tally: Tally::default() }
    }

    /// Has one `up` and one `down` killed by `kill`, which says how many runs it killed and how, and
    /// lets each go on.
    fn cycle(&mut self, mut kill: impl FnMut(&Project, usize) -> (usize, String)) {
        self.project.reset();
        for (at, arguments) in [UP, DOWN].into_iter().enumerate() {
            let (killed, how) = kill(&self.project, at);
            let expected = [&self.expected.applied, &self.expected.undone][at];
            let ended = self.tally.go_on(&self.project, arguments, killed, expected);
            if let Err(difference) = ended {
                println!("CHAOS FAILED {}: {arguments:?} killed {how}\n{difference}", self.store);
                let tally = self.tally;
                *self = World { tally, ..World::of(self.store) };
                return;
            }
        }
    }
}

/// The passages of a run that are tried, or `few` of them at random: the first two of each failpoint,
/// and all that come after an effect. What comes before one, the third time and later, is where the
/// effect before it ended, and tried as that.
fn tried(passed: &[String], few: Option<usize>, dice: &mut Dice) -> Vec<String> {
    let is_tried = |passage: &&String| {
        let (name, number) = passage.split_once('@').expect("a name and a number");
        number == "1" || number == "2" || !name.ends_with(":before")
    };
    let mut chosen: Vec<String> = passed.iter().filter(is_tried).cloned().collect();
    while few.is_some_and(|few| chosen.len() > few) {
        chosen.remove(dice.below(chosen.len()));
    }
    chosen
}

/// Kills runs of `store`'s project at all passages, or at `few` of `up` and of `down`. Gives the
/// names of the failpoints that an undisturbed run passes, and what became of the runs.
fn everywhere(store: &'static str, few: Option<usize>) -> (BTreeSet<String>, Tally) {
    let mut dice = Dice::thrown(&format!("failpoints of {store}"));
    let mut world = World::of(store);
    let passed = names(world.expected.up.iter().chain(&world.expected.down));
    let places = [&world.expected.up, &world.expected.down].map(|all| tried(all, few, &mut dice));
    for number in 0..places[0].len().max(places[1].len()) {
        world.cycle(|project, at| match places[at].get(number) {
            None => (0, "nowhere".to_string()),
            Some(place) => {
                let arguments = [UP, DOWN][at];
                let killed = killed_if_passed(&project.env, arguments, place);
                (usize::from(killed), format!("at {place}"))
            }
        });
    }
    (passed, world.tally)
}

/// The failpoints of `passages`, without their numbers.
fn names<'p>(passages: impl IntoIterator<Item = &'p String>) -> BTreeSet<String> {
    let name = |passage: &String| passage.split('@').next().unwrap_or_default().to_string();
    passages.into_iter().map(name).collect()
}

fn short(store: &'static str) {
    let (_, tally) = everywhere(store, Some(4));
    tally.check(store);
    assert!(tally.kills >= 6, "{store}: only {} of 8 runs were killed", tally.kills);
}

#[test]
fn killed_at_failpoints_postgres() {
    short("postgres");
}

#[test]
fn killed_at_failpoints_mongo() {
    short("mongo");
}

#[test]
fn killed_at_failpoints_weaviate() {
    short("weaviate");
}

#[test]
fn killed_at_failpoints_kafka() {
    short("kafka");
}

#[test]
fn killed_at_failpoints_redis() {
    short("redis");
}

/// All failpoints, all stores; `dev/chaos` runs it.
#[test]
#[ignore = "takes minutes: dev/chaos"]
fn chaos_all_failpoints() {
    // One store alone, where only that is wanted.
    let chosen = std::env::var("CHAOS_STORE").ok();
    let stores = ALL.into_iter().filter(|store| chosen.as_deref().is_none_or(|one| one == *store));
    let timed = |what: &'static str,
                 work: Box<dyn FnOnce() -> (BTreeSet<String>, Tally) + Send>| {
        let thread = std::thread::spawn(move || {
            let began = Instant::now();
            let done = work();
            println!("{what}: done after {:?}", began.elapsed());
            done
        });
        (what, thread)
    };
    let mut threads: Vec<_> =
        stores.map(|store| timed(store, Box::new(move || everywhere(store, None)))).collect();
    if chosen.is_none() {
        threads.push(timed("by-people", Box::new(by_people)));
        threads.push(timed("going-on", Box::new(going_on)));
    }
    let mut passed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut tallies = Vec::new();
    for (what, thread) in threads {
        let (names, tally) = thread.join().expect("no failure");
        println!("{}", tally.line(&format!("failpoints/{what} places={}", names.len())));
        passed.insert(what, names);
        tallies.push((what, tally));
    }
    for (what, tally) in &tallies {
        tally.check(what);
    }
    if chosen.is_some() {
        return;
    }
    let all = in_source();
    let reached: BTreeSet<String> = passed.into_values().flatten().collect();
    let never: Vec<&String> = all.iter().filter(|name| !reached.contains(*name)).collect();
    println!("CHAOS PLACES source={} reached={}", all.len(), all.len() - never.len());
    assert!(never.is_empty(), "no run of these tests is killed at {never:?}");
}

/// Kills at the effects of runs that go on after a kill, or fail: what an undisturbed run never does.
fn going_on() -> (BTreeSet<String>, Tally) {
    let mut tally = Tally::default();
    let mut reached = BTreeSet::new();
    for part in
        [resumed_and_killed_again, invalid_index_killed, cancelled_and_killed, moved_and_killed]
    {
        let (names, more) = part();
        reached.extend(names);
        tally += more;
    }
    (reached, tally)
}

/// Kills a row of runs of MongoDB's project, each at the next of some places.
fn resumed_and_killed_again() -> (BTreeSet<String>, Tally) {
    let mut world = World::of("mongo");
    let rows = [
        ["settle_step:after@1", "resume:before"],
        ["settle_step:after@1", "resume:after"],
        ["mongo_batch:after@2", "mongo_batch:after@1"],
        ["apply:after@3", "settle_step:before"],
    ];
    for places in rows {
        world.cycle(|project, at| {
            for place in places.iter().filter(|_| at == 0) {
                killed_at(project, UP, place);
            }
            (if at == 0 { places.len() } else { 0 }, format!("at {places:?}"))
        });
    }
    let reached = rows.concat().iter().map(|place| place.to_string()).collect::<Vec<_>>();
    (names(&reached), world.tally)
}

#[test]
fn killed_once_more_while_it_goes_on() {
    resumed_and_killed_again().1.check("a second kill");
}

/// An index that CREATE INDEX CONCURRENTLY left invalid is dropped and built again, whoever is
/// killed over it.
fn invalid_index_killed() -> (BTreeSet<String>, Tally) {
    let project = Project::of("postgres");
    let expected = undisturbed_run(&project);
    let env = &project.env;
    let mut tally = Tally::default();
    let rows: [&[&str]; 3] = [&[], &["rebuild:before"], &["rebuild:after"]];
    for places in rows {
        project.reset();
        env.sql("DROP TABLE IF EXISTS counted, other; DROP SCHEMA IF EXISTS held CASCADE");
        killed_at(&project, UP, "postgres_alone:before@1");
        // What a killed build leaves behind.
        env.sql("CREATE INDEX other_t ON other (t)");
        env.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'other_t'::regclass");
        for place in places {
            killed_at(&project, UP, place);
        }
        let ended = tally.go_on(&project, UP, 1 + places.len(), &expected.applied);
        ended.unwrap_or_else(|difference| panic!("{places:?}: {difference}"));
        let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'other_t'::regclass";
        assert_eq!(env.sql(valid), ["t"]);
    }
    (names(&rows.concat().iter().map(|place| place.to_string()).collect::<Vec<_>>()), tally)
}

#[test]
fn an_invalid_index_is_built_again() {
    invalid_index_killed().1.check("an invalid index");
}

/// A step that is cancelled before it was begun gives its claim back; killed over that, the next run
/// does the step.
fn cancelled_and_killed() -> (BTreeSet<String>, Tally) {
    let places = ["unclaim:before", "unclaim:after"];
    let mut tally = Tally::default();
    for place in places {
        let env = TestEnv::new().with(&["mongo"]);
        env.file("migrations/mongo/V1__a.json5", "{ steps: [ { create: 'a' }, { create: 'b' } ] }");
        let mut command = env.command(&["up", "--grace", "0s"]);
        command.env("AIPLAT_MIGRATE_FAILPOINT", place).stdin(Stdio::null());
        command.env("AIPLAT_MIGRATE_FAIL_PAUSE", "claim_step:after@2");
        let mut run = command.spawn().expect("binary");
        let there = "SELECT to_regclass('aiplat_migrate.ledger') IS NOT NULL";
        let claimed = "SELECT count(*) = 1 FROM aiplat_migrate.ledger \
                       WHERE steps_done = 1 AND before IS NOT NULL";
        while env.sql(there) != ["t"] || env.sql(claimed) != ["t"] {
            assert!(run.try_wait().expect("wait").is_none(), "it ended before it was told to");
            std::thread::sleep(Duration::from_millis(50));
        }
        let pid = run.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.expect("kill").success());
        let killed = run.wait().expect("end").signal() == Some(9);
        assert!(killed, "no kill at {place}");
        tally.kills += 1;
        tally.by_hand += usize::from(env.run(UP).code != 0);
        let ended = env.ledger() == ["mongo 1 applied"] && env.run(&["validate"]).code == 0;
        tally.converged += usize::from(ended);
    }
    (places.map(str::to_string).into(), tally)
}

#[test]
fn a_cancelled_step_that_is_killed_over_its_claim_is_done_by_the_next_run() {
    cancelled_and_killed().1.check("a cancelled step");
}

/// Killed while a person has something repaired, named or finished: the same command again ends
/// where it would have ended.
#[test]
fn killed_while_a_person_repairs() {
    by_people().1.check("by people");
}

/// Kills runs of projects over all stores at random moments, up to eight in a row; after each row
/// the next run ends where an undisturbed one would have. `worlds` projects side by side have
/// `wanted` of their runs killed each.
fn at_random(worlds: usize, wanted: usize) -> Tally {
    let mut dice = Dice::thrown("moments of random kills");
    let threads: Vec<_> = (0..worlds)
        .map(|_| {
            let mut dice = dice.another();
            std::thread::spawn(move || {
                let mut world = World::of("all");
                while world.tally.kills < wanted {
                    let spans = world.expected.spans;
                    let mut left = wanted - world.tally.kills;
                    world.cycle(|project, at| {
                        let mut row = Vec::new();
                        for _ in 0..(1 + dice.below(8)).min(left) {
                            // What is gone on with takes less time than the whole.
                            let span = spans[at].as_micros() as usize / (1 + dice.below(3));
                            let moment = Duration::from_micros(dice.below(span) as u64);
                            if !killed_within(project, [UP, DOWN][at], moment) {
                                break;
                            }
                            row.push(moment);
                        }
                        left -= row.len();
                        (row.len(), format!("after {row:?}"))
                    });
                    println!("{} of {wanted} killed in one of {worlds} worlds", world.tally.kills);
                }
                world.tally
            })
        })
        .collect();
    let mut tally = Tally::default();
    for thread in threads {
        tally += thread.join().expect("no failure");
    }
    tally
}

#[test]
fn killed_at_random_moments() {
    let tally = at_random(2, 10);
    tally.check("random kills");
    assert_eq!(tally.kills, 20);
}

/// The long form; `dev/chaos` runs it.
#[test]
#[ignore = "takes minutes: dev/chaos"]
fn chaos_random_kills() {
    let tally = at_random(4, 50);
    println!("{}", tally.line("random/all"));
    tally.check("random kills");
    assert_eq!(tally.kills, 200);
}

/// What is killed has every step that docs/migrations.md tells of.
#[test]
fn the_projects_have_every_kind_of_step() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migrations.md");
    let docs = std::fs::read_to_string(docs).expect("docs");
    for (store, title) in
        [("mongo", "MongoDB"), ("weaviate", "Weaviate"), ("kafka", "Kafka"), ("redis", "Redis")]
    {
        let section = docs.split(&format!("\n## {title}\n")).nth(1).expect(title);
        let section = section.split("\n## ").next().expect(title);
        let kind = |line: &'static str| line.strip_prefix("| `")?.split('`').next();
        let section: &'static str = section.to_string().leak();
        let kinds: Vec<&str> = section.lines().filter_map(kind).collect();
        assert!(kinds.len() >= 4, "{title}: {kinds:?}");
        for kind in kinds {
            let step = format!("{{ {kind}:");
            let there = files(store).iter().any(|(_, text)| text.contains(&step));
            assert!(there, "no `{kind}` in the project of {store}");
        }
    }
}

/// Every write to the ledger, and every call of a store that may change it, lies between failpoints.
#[test]
fn every_effect_has_failpoints() {
    let calls = [
        ("src/ledger/", "self.one("),
        ("src/ledger/", "self.add_event("),
        ("src/ledger/", "self.execute("),
        ("src/ledger/", "self.execute_once("),
        ("src/ledger/", "client.execute("),
        ("src/ledger/", "client.execute_typed("),
        ("src/ledger/", "self.write_shape("),
        ("src/execute/", "store.apply("),
        ("src/execute/", "store.put_back("),
    ];
    let mut seen = 0;
    for file in sources() {
        let text = std::fs::read_to_string(&file).expect("source");
        let text: String = text.split_whitespace().collect();
        for (folder, call) in calls {
            // A store around a store: whoever calls it has the failpoints.
            let passes_on = file.ends_with("src/execute/discreet.rs");
            if passes_on || !file.to_string_lossy().contains(folder) {
                continue;
            }
            for (at, _) in text.match_indices(call) {
                let before =
                    &text[text[..at].char_indices().rev().nth(60).map_or(0, |(at, _)| at)..at];
                // Through these all the others go.
                let own = [
                    "prepared(&self.sql(statement)).await?;self.ledger.session.",
                    "match",
                    "letcount=self.ledger.session.",
                    "letwritten=",
                    "letappended=",
                ];
                if own.iter().any(|own| before.ends_with(own)) {
                    continue;
                }
                seen += 1;
                assert!(
                    before.contains("effect!(") || before.contains("failpoint!("),
                    "{}: `{call}` is not between failpoints: …{before}",
                    file.display()
                );
            }
        }
    }
    assert!(seen > 15, "only {seen} effects were found");
}
