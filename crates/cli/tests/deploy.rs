//! `portcullis deploy`: what is judged is what runs, what is refused touches nothing, and nobody reads a credential before.

#[path = "deploy/builder.rs"]
mod builder;
#[path = "../../replicas/tests/postgresql/cluster.rs"]
#[allow(dead_code, reason = "these tests need no standby and no backup")]
mod cluster;
#[path = "deploy/decided.rs"]
mod decided;
#[path = "deploy/installed.rs"]
mod installed;
#[path = "deploy/served.rs"]
mod served;
#[path = "deploy/sql.rs"]
mod sql;
#[path = "deploy/swapped.rs"]
mod swapped;
mod tools;
#[path = "deploy/watched.rs"]
mod watched;
#[path = "deploy/world.rs"]
mod world;
