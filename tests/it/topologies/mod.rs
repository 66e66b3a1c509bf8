//! Several servers of each store, and some of them killed in a run. `dev/test --topologies` starts
//! them and runs these tests, one after another.

mod kafka;
mod mongo;
mod postgres;
mod redis;

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::support::{Finished, TestEnv, required};

/// Has `dev/stores` do something to servers of the set.
#[track_caller]
fn stores(arguments: &[&str]) {
    let set = required("TOPOLOGY_SET");
    let mut tool = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/dev/stores"));
    let output = tool.args(["--topology", "--set", &set]).args(arguments).output();
    let output = output.expect("dev/stores");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Servers of one store, which are all there again when the value is dropped.
struct Servers(&'static str);

impl Servers {
    #[track_caller]
    fn kill(&self, address: &str) {
        stores(&["kill", self.0, "--node", address]);
    }

    /// Kills the server while `run` is at work.
    #[track_caller]
    fn kill_under(&self, run: &mut Child, address: &str) {
        self.kill(address);
        let ended = run.try_wait().expect("a child");
        assert!(ended.is_none(), "the run had ended before the server was killed");
    }

    #[track_caller]
    fn start(&self) {
        stores(&["start", self.0]);
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // A test that has failed already must not fail once more while it cleans up.
        let started = std::panic::catch_unwind(|| self.start());
        if !std::thread::panicking() {
            started.expect("all servers again");
        }
    }
}

/// SQL that waits, for a minute at most, until the table `pause` is empty: a run that is in it can
/// be relied upon to be at work.
const WAIT_WHILE_PAUSED: &str = "do $$ begin
    for turn in 1..600 loop
        exit when not exists (select from pause);
        perform pg_sleep(0.1);
    end loop;
end $$;";

fn pause(env: &TestEnv) {
    env.sql("CREATE TABLE pause AS SELECT 1");
}

fn go_on(env: &TestEnv) {
    env.sql("DELETE FROM pause");
}

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until `condition` holds of one of the ledger's rows.
#[track_caller]
fn at_work(env: &TestEnv, condition: &str) {
    eventually(condition, || {
        env.sql("SELECT to_regclass('aiplat_migrate.ledger') IS NOT NULL") == ["t"]
            && env.sql(&format!(
                "SELECT EXISTS (SELECT FROM aiplat_migrate.ledger WHERE {condition})"
            )) == ["t"]
    });
}

/// Runs `up` until nothing is left; a run that a server was killed under may end with 5 or 6, and
/// nothing else, since a Job retries these.
#[track_caller]
fn converged(env: &TestEnv, first: Finished) {
    let mut ended = first;
    for _ in 0..5 {
        if ended.code == 0 {
            return;
        }
        assert!([5, 6].contains(&ended.code), "{}\n{}\n{}", ended.code, ended.stdout, ended.stderr);
        ended = env.run(&["up"]);
    }
    ended.expect(0);
}
