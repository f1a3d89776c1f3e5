//! What can be done with stores: asking them, reading them while they are written to, joining them.

#[path = "../common/mod.rs"]
mod common;
mod merge;
mod queries;
mod readers;
