//! The pulse of work that is one whole: it has notices, and no positions.

use futures_util::future::BoxFuture;

use super::{Event, Listener};
use crate::migration::MigrationId;
use crate::stores::StoreKind;
use crate::stores::{Position, Progress, Pulse, Stop};

/// Tells what a store has to say meanwhile.
pub(super) struct Notices<'a> {
    pub listener: &'a dyn Listener,
    pub store: StoreKind,
    /// The migration, where it is one's own work.
    pub id: Option<&'a MigrationId>,
}

impl<'a> Notices<'a> {
    /// For the migration `id`.
    pub fn of(listener: &'a dyn Listener, id: &'a MigrationId) -> Notices<'a> {
        Notices { listener, store: id.store, id: Some(id) }
    }
}

impl Pulse for Notices<'_> {
    fn reached<'p>(&'p self, _: &'p Position, _: Progress) -> BoxFuture<'p, Result<(), Stop>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn notice(&self, text: &str) {
        let (id, text) = (self.id.cloned(), text.to_string());
        self.listener.event(Event::Notice { store: self.store, id, text });
    }
}
