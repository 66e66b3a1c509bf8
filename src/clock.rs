//! The time of day.

use std::time::SystemTime;

use chrono::{DateTime, Utc};

/// What this machine's clock says, whatever that is.
pub fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// Whether it says something that can be: TLS, for one, knows no time before 1970.
pub fn is_set() -> bool {
    SystemTime::now() >= SystemTime::UNIX_EPOCH
}
