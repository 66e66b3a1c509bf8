//! Tests against the real stores; `dev/test` starts them.

mod chaos;
mod faults;
mod fuzz;
mod interrupts;
mod journal;
mod kill;
mod locks;
mod stores;
mod support;
mod up;
