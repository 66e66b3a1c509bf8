//! Killed anywhere, it goes on: one run is killed at each failpoint, the next ends where an
//! undisturbed one would have.

#![expect(clippy::print_stdout, reason = "the table that dev/chaos ends with")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::chaos::{
    ALL, DOWN, Dice, Picture, Project, UP, in_source, killed_at, killed_if_passed, killed_within,
    passages, picture, sources, undisturbed,
};

/// What an undisturbed `up` and `down` pass, and where they end.
struct Undisturbed {
    up: Vec<String>,
    applied: Picture,
    down: Vec<String>,
    undone: Picture,
}

fn undisturbed_run(project: &Project) -> Undisturbed {
    project.reset();
    let up = passages(project, UP);
    let applied = picture(project);
    let down = passages(project, DOWN);
    let undone = picture(project);
    Undisturbed { up, applied, down, undone }
}

/// One `up` and one `down` that are killed where they are told, each gone on with. Says how many of
/// the two were killed.
fn cycle(
    project: &Project,
    expected: &Undisturbed,
    up: Option<&String>,
    down: Option<&String>,
) -> usize {
    let mut killed = 0;
    project.reset();
    if let Some(place) = up {
        killed += usize::from(killed_if_passed(project, UP, place));
    }
    undisturbed(project, UP);
    assert_eq!(picture(project), expected.applied, "{}: up killed at {up:?}", project.store);
    if let Some(place) = down {
        killed += usize::from(killed_if_passed(project, DOWN, place));
    }
    undisturbed(project, DOWN);
    assert_eq!(picture(project), expected.undone, "{}: down killed at {down:?}", project.store);
    killed
}

/// How many passages of one failpoint are tried: loops pass some of them often.
const PASSAGES: u32 = 6;

/// The passages of a run that are tried: all of them, or `few` at random.
fn tried<'p>(passed: &'p [String], few: Option<usize>, dice: &mut Dice) -> Vec<&'p String> {
    let number = |passage: &String| passage.split('@').nth(1).and_then(|n| n.parse::<u32>().ok());
    let mut chosen: Vec<&String> =
        passed.iter().filter(|passage| number(passage).is_some_and(|n| n <= PASSAGES)).collect();
    while few.is_some_and(|few| chosen.len() > few) {
        chosen.remove(dice.below(chosen.len()));
    }
    chosen
}

/// Kills runs of `store`'s project at all passages, or at `few` of `up` and of `down`. Gives the
/// names of the failpoints that an undisturbed run passes, and how many runs were killed.
fn everywhere(store: &str, few: Option<usize>) -> (BTreeSet<String>, usize) {
    let mut dice = Dice::thrown(&format!("failpoints of {store}"));
    let project = Project::of(store);
    let expected = undisturbed_run(&project);
    let name = |passage: &String| passage.split('@').next().unwrap_or_default().to_string();
    let passed = expected.up.iter().chain(&expected.down).map(name).collect();
    let ups = tried(&expected.up, few, &mut dice);
    let downs = tried(&expected.down, few, &mut dice);
    let mut killed = 0;
    for at in 0..ups.len().max(downs.len()) {
        killed += cycle(&project, &expected, ups.get(at).copied(), downs.get(at).copied());
    }
    (passed, killed)
}

fn short(store: &str) {
    let (_, killed) = everywhere(store, Some(4));
    assert!(killed >= 6, "{store}: only {killed} of 8 runs were killed");
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
    let threads = stores.map(|store| {
        std::thread::spawn(move || {
            let began = Instant::now();
            let done = everywhere(store, None);
            println!("{store} done after {:?}", began.elapsed());
            (store, done)
        })
    });
    let threads: Vec<_> = threads.collect();
    let mut passed = BTreeSet::new();
    let mut table = Vec::new();
    for thread in threads {
        let (store, (names, killed)) = thread.join().expect("no failure");
        table.push(format!(
            "CHAOS failpoints {store:<9} {:>3} places, {killed:>4} of {killed} kills converged",
            names.len()
        ));
        passed.extend(names);
    }
    println!("{}", table.join("\n"));
    if chosen.is_some() {
        return;
    }
    let elsewhere = |name: &&String| !BESIDE.iter().any(|other| name.starts_with(other));
    let never: Vec<String> = in_source()
        .into_iter()
        .filter(|name| !passed.contains(name))
        .filter(|name| elsewhere(&name))
        .collect();
    assert!(never.is_empty(), "no run of these tests passes {never:?}");
}

/// Effects that an undisturbed run does not have: those of a run that goes on (killed at in tests of
/// their own, below), and those of what a person does.
const BESIDE: [&str; 13] = [
    "resume",
    "fail",
    "rebuild",
    "unclaim",
    "settle_doubt",
    "realign",
    "forget",
    "event",
    "tag",
    "repaired",
    "accept_shape",
    "accept_identity",
    "heal",
];

#[test]
fn killed_once_more_while_it_goes_on() {
    let project = Project::of("mongo");
    let expected = undisturbed_run(&project);
    for places in [
        ["settle_step:after@1", "resume:before"],
        ["settle_step:after@1", "resume:after"],
        ["mongo_batch:after@2", "mongo_batch:after@1"],
        ["apply:after@3", "settle_step:before"],
    ] {
        project.reset();
        for place in places {
            killed_at(&project, UP, place);
        }
        undisturbed(&project, UP);
        assert_eq!(picture(&project), expected.applied, "{places:?}");
        undisturbed(&project, DOWN);
        assert_eq!(picture(&project), expected.undone, "{places:?}");
    }
}

/// An index that CREATE INDEX CONCURRENTLY left invalid is dropped and built again, whoever is
/// killed over it.
#[test]
fn an_invalid_index_is_built_again() {
    let project = Project::of("postgres");
    let env = &project.env;
    for places in [vec![], vec!["rebuild:before"], vec!["rebuild:after"]] {
        project.reset();
        env.sql("DROP TABLE IF EXISTS counted, other");
        killed_at(&project, UP, "postgres_alone:before@1");
        // What a killed build leaves behind.
        env.sql("CREATE INDEX other_t ON other (t)");
        env.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'other_t'::regclass");
        for place in places {
            killed_at(&project, UP, place);
        }
        undisturbed(&project, UP);
        let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'other_t'::regclass";
        assert_eq!(env.sql(valid), ["t"]);
        assert!(env.ledger().iter().all(|row| row.ends_with(" applied")), "{:?}", env.ledger());
    }
}
/// Kills runs of a project over all stores at random moments, one to three in a row, until `wanted`
/// were killed; after each row the next run ends where an undisturbed one would have.
fn at_random(wanted: usize) -> usize {
    let mut dice = Dice::thrown("moments of random kills");
    let project = Project::of_all();
    let expected = undisturbed_run(&project);
    let mut spans = [UP, DOWN].map(|_| Duration::ZERO);
    let mut killed = 0;
    while killed < wanted {
        project.reset();
        let ends = [(UP, &expected.applied), (DOWN, &expected.undone)];
        for (at, (arguments, expected)) in ends.into_iter().enumerate() {
            let mut row = Vec::new();
            for _ in 0..=dice.below(3) {
                // A run takes about a second, more while the machine is busy.
                let span = spans[at].max(Duration::from_millis(700)).as_micros() as usize;
                let moment = Duration::from_micros(dice.below(span) as u64);
                if killed_within(&project, arguments, moment) {
                    row.push(moment);
                }
            }
            let began = Instant::now();
            undisturbed(&project, arguments);
            spans[at] = spans[at].max(began.elapsed());
            assert_eq!(picture(&project), *expected, "{arguments:?} killed after {row:?}");
            killed += row.len();
            println!("{killed} of {wanted} killed");
        }
    }
    killed
}

#[test]
fn killed_at_random_moments() {
    at_random(20);
}

/// The long form; `dev/chaos` runs it.
#[test]
#[ignore = "takes minutes: dev/chaos"]
fn chaos_random_kills() {
    let killed = at_random(200);
    println!("CHAOS random kills         {killed:>4} of {killed} converged");
}

/// Every write to the ledger, and every call of a store that may change it, lies between failpoints.
#[test]
fn every_effect_has_failpoints() {
    let calls = [
        ("src/ledger/", "self.one("),
        ("src/ledger/", "self.exactly_one("),
        ("src/ledger/", "client.execute("),
        ("src/ledger/", "self.write_shape("),
        ("src/execute/", "store.apply("),
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
                // The two through which all the others go.
                if ["count", "done"]
                    .iter()
                    .any(|own| before.ends_with(&format!("let{own}=self.ledger.session.")))
                {
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
