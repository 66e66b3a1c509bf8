//! A listener that is told no secret: servers quote what they refuse.

use std::sync::Arc;

use super::{Event, Listener};
use crate::secret::Secrets;

/// Hands every event on to `listener`, without `secrets`.
pub(crate) struct DiscreetListener {
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) secrets: Secrets,
}

impl Listener for DiscreetListener {
    fn event(&self, mut event: Event) {
        match &mut event {
            Event::StoreWait { error: text, .. }
            | Event::Notice { text, .. }
            | Event::Retry { error: text, .. }
            | Event::Warning(text) => *text = self.secrets.hide(text),
            // Labels are made without secrets; the rest are names and figures.
            Event::LockWait(_)
            | Event::LockWaited { .. }
            | Event::Compared(_)
            | Event::Drift { .. }
            | Event::Connected(_)
            | Event::Started { .. }
            | Event::Step { .. }
            | Event::Progress { .. }
            | Event::StepEnded { .. }
            | Event::Settled { .. }
            | Event::Failed { .. }
            | Event::Stopping { .. } => {}
        }
        self.listener.event(event);
    }
}
