//! What every test needs: the real stores' addresses, names of its own, the binary.

/// The value of an environment variable that `dev/test` sets; without it the test fails and says
/// how to start the stores.
pub fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests with `dev/test`, which starts the real stores")
    })
}

/// A name that no other test and no other run of this test uses: letters, digits and `_`.
pub fn unique(stem: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::UNIX_EPOCH.elapsed().expect("clock").as_millis() % 100_000_000;
    format!("{stem}_{}_{since}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
