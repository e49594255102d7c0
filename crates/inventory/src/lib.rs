//! What runs, and what was decided about it: an index in SQLite that can be made again from the log.

pub mod audit;
