//! Each store through its trait, against the real server.

pub mod kafka;
pub mod mongo;
pub mod redis;
pub mod weaviate;
