//! How fast a long step may go.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// A pace for a walk: so many items per second, or as many as the server takes.
pub struct Pace {
    per_second: Option<NonZeroU32>,
    began: Instant,
    done: u64,
}

impl Pace {
    /// A pace that begins now; `None` is none.
    pub fn of(per_second: Option<NonZeroU32>) -> Pace {
        Pace { per_second, began: Instant::now(), done: 0 }
    }

    /// How many items may go to the server at once, of `usual`: no more than a tenth of a second's, so
    /// that what is let through in a second does not come in one gush.
    pub fn portion(&self, usual: usize) -> usize {
        match self.per_second {
            None => usual,
            Some(rate) => usual.min(rate.get().div_ceil(10) as usize),
        }
    }

    /// Waits until the `items` that were done now were allowed to be.
    pub async fn after(&mut self, items: u64) {
        self.done += items;
        let Some(rate) = self.per_second else { return };
        let due = Duration::from_secs_f64(self.done as f64 / f64::from(rate.get()));
        tokio::time::sleep(due.saturating_sub(self.began.elapsed())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pace_holds_a_walk_back_and_none_does_not() {
        let mut pace = Pace::of(NonZeroU32::new(1000));
        assert_eq!((pace.portion(1000), pace.portion(7)), (100, 7));
        pace.after(60).await;
        pace.after(60).await;
        let took = pace.began.elapsed();
        assert!(took >= Duration::from_millis(120), "{took:?}");
        let mut free = Pace::of(None);
        free.after(u64::MAX).await;
        assert_eq!(free.portion(1000), 1000);
    }
}
