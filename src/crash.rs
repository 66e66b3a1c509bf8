//! Panics: a mistake in the tool itself, which is told as any other failure is.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo};

/// What to do about a mistake in the tool itself.
pub const REPORT: &str =
    "this is a mistake in aiplat-migrate: report it, with all of this text and the version";

thread_local! {
    /// How many [`contained`] this thread is in.
    static CONTAINED: Cell<usize> = const { Cell::new(0) };
}

/// Does `work`; where it panics, what it said is the error, and nobody else is told.
pub fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    CONTAINED.with(|depth| depth.set(depth.get() + 1));
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    CONTAINED.with(|depth| depth.set(depth.get() - 1));
    done.map_err(|panic| said(panic.as_ref()))
}

/// Tells `handler` of every panic of this process but contained ones, in the thread that panics: what it
/// said, and where in the sources.
pub fn on_panic(handler: impl Fn(&str, &str) + Send + Sync + 'static) {
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        if CONTAINED.try_with(Cell::get).unwrap_or_default() == 0 {
            let place = info.location().map_or("an unknown place".to_string(), |at| at.to_string());
            handler(&said(info.payload()), &place);
        }
    }));
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it did not say why").to_string()
}

#[cfg(test)]
mod tests {
    use super::contained;

    #[test]
    fn what_panics_inside_is_an_error() {
        assert_eq!(contained(|| 1), Ok(1));
        assert_eq!(contained(|| panic!("no {}", "way")), Err::<(), _>("no way".to_string()));
    }
}
