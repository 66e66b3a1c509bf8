//! What the tests of killed runs share: a project per store with every kind of step, a picture of
//! where it stands, and a process that is killed at a failpoint.

#![expect(clippy::print_stdout, reason = "the seed, which a failed test shows")]

mod people;
mod projects;
mod tally;

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;

pub use people::by_people;
pub use projects::{ALL, Project, files};
pub use tally::Tally;

use crate::support::{Finished, TestEnv, finish};

/// Where a project stands: what must be equal after a killed and an undisturbed run.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture(pub Vec<String>);

impl Picture {
    /// The lines that only one of the two has.
    pub fn difference(&self, other: &Picture) -> String {
        let lacks = |sign: char, one: &Picture, other: &Picture| -> Vec<String> {
            let lines = one.0.iter().filter(|line| !other.0.contains(line));
            lines.map(|line| format!("{sign} {line}")).collect()
        };
        [lacks('-', self, other), lacks('+', other, self)].concat().join("\n")
    }
}

/// What the ledger says of each migration and each store, and what the stores hold.
pub fn picture(project: &Project) -> Picture {
    let mut lines = ledger_and_drift(&project.env);
    lines.extend(project.facts());
    Picture(lines)
}

/// The part of a picture that the ledger and `validate` tell.
pub fn ledger_and_drift(env: &TestEnv) -> Vec<String> {
    // The stores are shared by all tests: what is not called after this one is not looked at.
    let mut lines = env.sql(
        "SELECT 'row', store, kind, version, state, direction, steps_done, steps_total, checksum, \
                before, position, error, count(*) OVER (PARTITION BY store, kind, version) \
         FROM aiplat_migrate.ledger ORDER BY store, kind, version, id; \
         SELECT 'event', store, kind, version, event, count(*) FROM aiplat_migrate.event \
         WHERE event IN ('applied', 'undone') GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5; \
         SELECT 'shape', s.store, o.key, CASE s.store WHEN 'kafka' THEN o.value - 'id' ELSE o.value END FROM aiplat_migrate.shape s, jsonb_each(s.recorded) o \
         WHERE s.store IN ('postgres', 'mongo') OR o.key ILIKE '%NAME%' ORDER BY 2, 3; \
         SELECT 'unrecorded', store FROM aiplat_migrate.shape WHERE before IS NOT NULL ORDER BY 2",
    );
    lines.extend(drift(env));
    lines
}

/// What `validate` finds, as far as it concerns this test.
pub fn drift(env: &TestEnv) -> Vec<String> {
    let report = env.run(&["validate", "--output", "json", "--wait", "60s"]).json();
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    findings
        .iter()
        .filter(|finding| finding["severity"] == "error")
        .map(|finding| format!("finding {}", finding["message"]))
        .filter(|line| {
            let own = ["postgres", "mongo"].iter().any(|store| line.contains(store));
            own || line.to_lowercase().contains(&env.name)
        })
        .collect()
}

/// The failpoints that an undisturbed `arguments` passes, each with its number: `begin:before@2`.
pub fn passages(env: &TestEnv, arguments: &[&str]) -> Vec<String> {
    let (passed, finished) = passages_of(env, arguments);
    assert_eq!(finished.code, 0, "{arguments:?}: {}", finished.stderr);
    passed
}

/// The same for a command that need not end well; and how it ended.
pub fn passages_of(env: &TestEnv, arguments: &[&str]) -> (Vec<String>, Finished) {
    let log = env.path().join("failpoints");
    let _ = std::fs::remove_file(&log);
    let mut command = env.command(arguments);
    command.env("AIPLAT_MIGRATE_FAIL_LOG", &log);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let finished = finish(command.spawn().expect("binary"));
    let passed = std::fs::read_to_string(&log).unwrap_or_default();
    (passed.lines().map(str::to_string).collect(), finished)
}

/// Runs `arguments` and has it killed at `place`; fails unless it was.
#[track_caller]
pub fn killed_at(project: &Project, arguments: &[&str], place: &str) {
    assert!(
        killed_if_passed(&project.env, arguments, place),
        "{arguments:?} does not pass {place}"
    );
}

/// Runs `arguments` and has it killed at `place`; says whether it was. A rewrite journals its position
/// by the clock, so that not every run of it passes a failpoint equally often.
#[track_caller]
pub fn killed_if_passed(env: &TestEnv, arguments: &[&str], place: &str) -> bool {
    let mut command = env.command(arguments);
    command.env("AIPLAT_MIGRATE_FAILPOINT", place).stdin(Stdio::null());
    let output = command.output().expect("binary");
    let said = String::from_utf8_lossy(&output.stderr);
    let killed = output.status.signal() == Some(9);
    let by_the_clock = place.starts_with("position:") && output.status.success();
    assert!(killed || by_the_clock, "{arguments:?} at {place}: {:?}\n{said}", output.status);
    killed
}

/// Starts `arguments` and kills it after `moment`; says whether it was still at work then. What ends
/// before has ended well, or asks a person what became of a raw command that an earlier kill hit;
/// `Tally::go_on` answers.
#[track_caller]
pub fn killed_within(project: &Project, arguments: &[&str], moment: std::time::Duration) -> bool {
    let mut child = project.env.spawn(arguments);
    std::thread::sleep(moment);
    child.kill().expect("kill");
    let output = child.wait_with_output().expect("output");
    let killed = output.status.signal() == Some(9);
    let said = String::from_utf8_lossy(&output.stderr);
    let asks = || said.contains("repair --done") && said.contains("repair --not-done");
    let well = killed || output.status.success() || asks();
    assert!(well, "{arguments:?}: {:?}\n{said}", output.status);
    killed
}

/// Runs `arguments` undisturbed; fails unless it ends well.
#[track_caller]
pub fn undisturbed(project: &Project, arguments: &[&str]) {
    let finished = project.env.run(arguments);
    let context = format!("{}: {arguments:?}", project.store);
    assert_eq!(finished.code, 0, "{context}\n{}\n{}", finished.stdout, finished.stderr);
}

/// All names of failpoints in the source, so that one which no test passes is noticed.
pub fn in_source() -> Vec<String> {
    let mut names = Vec::new();
    for file in sources() {
        let text = std::fs::read_to_string(&file).expect("source");
        for (macro_name, sides) in [("effect!", true), ("failpoint!", false)] {
            for (at, _) in text.match_indices(macro_name) {
                let rest = text[at + macro_name.len()..].trim_start_matches('(').trim_start();
                let Some(name) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next())
                else {
                    continue;
                };
                match sides {
                    true => names.extend([format!("{name}:before"), format!("{name}:after")]),
                    false => names.push(name.to_string()),
                }
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

/// Every source file but the one that defines failpoints.
pub fn sources() -> Vec<PathBuf> {
    let mut open = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            match path.is_dir() {
                true => open.push(path),
                false if path.ends_with("src/failpoint.rs") => {}
                false => files.push(path),
            }
        }
    }
    files
}

/// Random numbers from a seed that is printed: CHAOS_SEED throws the same again.
pub struct Dice(u64);

impl Dice {
    /// Dice for `what`.
    pub fn thrown(what: &str) -> Dice {
        let given = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = given.unwrap_or_else(rand::random);
        println!("CHAOS_SEED={seed} throws the same again: {what}");
        Dice(seed)
    }

    /// Further dice, whose throws follow from the same seed.
    pub fn another(&mut self) -> Dice {
        Dice(self.next())
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What `up` is called with.
pub const UP: &[&str] = &["up", "--quiet"];

/// What `down` is called with: the tests' data may go, and a busy machine may take its time.
pub const DOWN: &[&str] =
    &["down", "--all", "--yes", "--allow-data-loss", "--quiet", "--wait", "60s"];
