//! The log in PostgreSQL, on a real server of its own for every test.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    reason = "a test reads the clock and how much it shall do"
)]

mod both;
mod cluster;
mod crashes;
mod failover;
mod fencing;
mod forged;
mod insert;
mod killed;
mod privileges;
mod restored;
mod spooled;
mod world;
