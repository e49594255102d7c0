//! The proxy of Figure 14-8: the only way to something that takes uploads or requests, through which goes only what is
//! admitted.
//!
//! `listen.rs` is the story of a proxy, `handle.rs` of one request: who asks, and whether the request means one thing.
//! Then the `Adapter` for the upstream's protocol tells what the request deploys. What reads goes through, streamed;
//! what deploys is held until it was hashed and decided about, and the very bytes that were hashed are sent on; what an
//! adapter does not know is refused.

mod adapter;
mod answer;
mod archive;
mod ask;
mod check;
mod config;
mod debian;
mod flow;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod handle;
mod head;
mod hold;
mod json;
mod kubernetes;
mod limits;
mod listen;
mod metrics;
mod npm;
mod oci;
mod package;
mod path;
mod put;
mod pypi;
mod room;
mod s3;
mod share;
mod upstream;
mod who;

pub(crate) use check::check;
pub use config::{Clients, Proxy as Config, Route, Upstream};
pub use limits::Limits;
pub(crate) use listen::{Listener, Proxy};
pub(crate) use metrics::ProxyMetrics;
pub(crate) use room::{Rooms, spools, too_large};
