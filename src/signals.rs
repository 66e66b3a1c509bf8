//! Ctrl-C and SIGTERM: the first lets the steps under way finish within a grace, then cancels them
//! on their servers; the second cancels at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::Exit;

/// The user's wish to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    stop: CancellationToken,
    /// Fires when steps under way are to be cancelled on their servers.
    pub cancel: CancellationToken,
    signal: Arc<AtomicU8>,
}

const CTRL_C: u8 = 1;
const TERM: u8 = 2;

impl Interrupt {
    /// One that never fires unless [`Interrupt::listen`] is called.
    pub fn new() -> Interrupt {
        Interrupt::default()
    }

    /// Begins to listen for signals; `told` is called with the grace at the first one.
    pub fn listen(&self, grace: Duration, told: impl Fn(Duration) + Send + Sync + 'static) {
        let interrupt = self.clone();
        tokio::spawn(async move { interrupt.watch(grace, told).await });
    }

    #[cfg(unix)]
    async fn watch(self, grace: Duration, told: impl Fn(Duration)) {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut int), Ok(mut term)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        let mut next = async || {
            tokio::select! {
                _ = int.recv() => CTRL_C,
                _ = term.recv() => TERM,
            }
        };
        self.signal.store(next().await, Ordering::Relaxed);
        told(grace);
        self.stop.cancel();
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            _ = next() => {}
        }
        self.cancel.cancel();
    }

    #[cfg(not(unix))]
    async fn watch(self, grace: Duration, told: impl Fn(Duration)) {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        self.signal.store(CTRL_C, Ordering::Relaxed);
        told(grace);
        self.stop.cancel();
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        self.cancel.cancel();
    }

    /// Whether nothing more is to be begun.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when nothing more is to be begun.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// How the process ends because of a signal.
    pub fn exit(&self) -> Option<Exit> {
        match self.signal.load(Ordering::Relaxed) {
            CTRL_C => Some(Exit::Interrupted),
            TERM => Some(Exit::Terminated),
            _ => None,
        }
    }
}
