//! Tests against the real stores; `dev/test` starts them.

mod bad_input;
mod engine;
mod platform;
mod down;
mod chaos;
mod faults;
mod fuzz;
mod gate;
mod interrupts;
mod journal;
mod kill;
mod ledger;
mod locks;
mod modules;
mod cluster;
mod secrets;
mod secure;
mod sessions;
mod drift;
mod readers;
mod stores;
mod support;
mod tidy;
mod topologies;
mod up;
mod witness;
