//! How a run that changes something goes about it: what `up`, `down` and `redo` share.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;

use super::flags::duration;

/// The flags of every run.
#[derive(Clone, Debug, Args)]
pub struct Manner {
    /// How long to wait for another run's lock [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lock_wait: Option<Duration>,
    /// How long steps under way may go on after Ctrl-C or SIGTERM
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    pub grace: Duration,
    /// How many keys or documents a rewrite of live data may change per second [default: no limit]
    #[arg(long, value_name = "N")]
    pub rate: Option<NonZeroU32>,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner { lock_wait: None, grace: Duration::from_secs(20), rate: None }
    }
}
