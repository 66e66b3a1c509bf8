//! Tests against the real stores; `dev/test` starts them.

mod stores;
mod support;
mod up;
