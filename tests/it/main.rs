//! Tests against the real stores; `dev/test` starts them.

mod cluster;
mod secrets;
mod stores;
mod support;
mod up;
