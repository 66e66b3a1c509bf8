//! Tests against the real stores; `dev/test` starts them.

mod drift;
mod stores;
mod support;
mod up;
