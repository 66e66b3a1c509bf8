//! Tests against the real stores; `dev/test` starts them.

mod down;
mod stores;
mod support;
mod up;
