//! What a server says beside its answers, until somebody asks: so much of it as anybody reads.

use tokio_postgres::error::{DbError, Severity};

use crate::store_error::bounded;

/// Notices that were not told yet.
#[derive(Default)]
pub(super) struct Notices {
    lines: Vec<String>,
    bytes: usize,
    left_out: usize,
}

/// So many bytes of notices are held; of warnings, which matter more, twice as many.
const HELD: usize = 256 << 10;

impl Notices {
    /// Takes a notice, unless it is one for a debugger, or there is no more room.
    pub fn take(&mut self, notice: &DbError) {
        if matches!(notice.severity(), "DEBUG" | "LOG") {
            return;
        }
        let room = match notice.parsed_severity() {
            Some(Severity::Warning) => 2 * HELD,
            Some(_) | None => HELD,
        };
        if self.bytes >= room {
            self.left_out += 1;
            return;
        }
        let mut text = notice.message().to_string();
        for more in [notice.detail(), notice.hint()].into_iter().flatten() {
            text = format!("{}; {more}", text.trim_end_matches('.'));
        }
        let line = bounded(format!("{}: {text}", notice.severity()));
        self.bytes += line.len();
        self.lines.push(line);
    }

    /// All of them, and how many there was no room for.
    pub fn told(mut self) -> Vec<String> {
        match self.left_out {
            0 => {}
            1 => self.lines.push("1 more notice was left out".to_string()),
            more => self.lines.push(format!("{more} more notices were left out")),
        }
        self.lines
    }
}
