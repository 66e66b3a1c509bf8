//! What flags of several commands need.

use std::time::Duration;

use crate::text::parse_duration;

/// Shows a question with what it is about, and says whether the answer is yes.
pub type Confirm<'a> = &'a (dyn Fn(&str) -> bool + Sync);

/// Reads a time such as `30s` for clap.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a time such as 500ms, 30s or 5m".to_string())
}
