//! Places where a test kills this process: before and after each effect on the ledger or a store.
//!
//! `effect!("begin", future)` awaits the future between two such places, `begin:before` and
//! `begin:after`; `failpoint!("name")` is a single one. Which of them a run passes is not listed
//! anywhere: the tests ask an undisturbed run to log them (`AIPLAT_MIGRATE_FAIL_LOG`, a file) and
//! then kill one run at each (`AIPLAT_MIGRATE_FAILPOINT`, `name` or `name@n` for the n-th passage). At
//! the place in `AIPLAT_MIGRATE_FAIL_PAUSE` a run halts for two seconds, in which a test can act; at that in
//! `AIPLAT_MIGRATE_FAIL_PANIC` it panics.
//! A release build contains none of this.

/// Awaits a future between two failpoints.
macro_rules! effect {
    ($name:literal, $future:expr) => {{
        $crate::failpoint::reach(concat!($name, ":before"));
        let ended = $future.await;
        $crate::failpoint::reach(concat!($name, ":after"));
        ended
    }};
}

/// A single failpoint.
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::reach($name)
    };
}

pub(crate) use {effect, failpoint};

/// Passes the place `name`; with a test's wish for it, the process ends here by SIGKILL.
#[cfg(not(all(debug_assertions, unix)))]
#[inline(always)]
pub(crate) fn reach(_name: &str) {}

/// Whether a test asked for `switch`; never in a release build.
#[cfg(not(all(debug_assertions, unix)))]
#[inline(always)]
pub(crate) fn is_switched(_switch: &str) -> bool {
    false
}

#[cfg(all(debug_assertions, unix))]
pub(crate) use armed::{is_switched, reach};

#[cfg(all(debug_assertions, unix))]
mod armed {
    use std::collections::BTreeMap;
    use std::io::Write;
    use std::sync::{LazyLock, Mutex, PoisonError};

    /// What the test asked for.
    struct Wish {
        kill: Option<Passage>,
        pause: Option<Passage>,
        panic: Option<Passage>,
        log: Option<std::ffi::OsString>,
    }

    /// A place, and which time it is passed.
    #[derive(PartialEq)]
    struct Passage {
        name: String,
        number: u32,
    }

    impl Passage {
        fn wished(variable: &str) -> Option<Passage> {
            let wanted = std::env::var(variable).ok()?;
            let (name, number) = wanted.split_once('@').unwrap_or((&wanted, "1"));
            Some(Passage { name: name.to_string(), number: number.parse().unwrap_or(1) })
        }
    }

    static WISH: LazyLock<Option<Wish>> = LazyLock::new(|| {
        let kill = Passage::wished("AIPLAT_MIGRATE_FAILPOINT");
        let pause = Passage::wished("AIPLAT_MIGRATE_FAIL_PAUSE");
        let panic = Passage::wished("AIPLAT_MIGRATE_FAIL_PANIC");
        let log = std::env::var_os("AIPLAT_MIGRATE_FAIL_LOG");
        match (&kill, &pause, &panic, &log) {
            (None, None, None, None) => None,
            (_, _, _, _) => Some(Wish { kill, pause, panic, log }),
        }
    });

    static PASSED: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

    /// Passes the place `name`; with a test's wish for it, the process halts or ends here by SIGKILL.
    pub(crate) fn reach(name: &str) {
        let Some(wish) = WISH.as_ref() else { return };
        let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
        let count = passed.entry(name.to_string()).or_default();
        *count += 1;
        if let Some(log) = &wish.log
            && let Ok(mut file) = std::fs::File::options().create(true).append(true).open(log)
        {
            let _ = writeln!(file, "{name}@{count}");
        }
        let here = Some(Passage { name: name.to_string(), number: *count });
        if wish.pause == here {
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        assert!(wish.panic != here, "a test's wish at {name}");
        if wish.kill == here {
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
            // The signal is on its way; nothing more may happen on this thread.
            std::thread::park();
        }
    }

    /// Whether a test asked for `switch`; never in a release build.
    pub(crate) fn is_switched(switch: &str) -> bool {
        std::env::var_os(format!("AIPLAT_MIGRATE_FAIL_{switch}")).is_some()
    }
}
