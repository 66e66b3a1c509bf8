//! Tests against the real stores; `dev/test` starts them.

mod secure;
mod stores;
mod support;
mod up;
