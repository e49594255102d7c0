//! Everything that listens: the build service, and the webhook of Kubernetes.
//!
//! Floor 3. It takes requests from people it knows, keeps a queue that survives being killed, and starts each build as
//! a process of its own. It decides nothing about what is true of a build: the orchestrator observes, the signer
//! signs, and neither can be spoken to by a request.

pub mod advisories;
pub mod alarm;
pub mod attached;
mod certificate;
mod child;
mod client;
mod config;
mod connection;
mod event;
mod fields;
mod folders;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod identity;
mod job;
mod listen;
pub mod proxy;
mod queue;
mod ready;
mod run;
mod service;
mod tls;
mod token;
pub mod watch;
pub mod webhook;
pub mod witness;

pub use client::{Answer, Client, ClientError, ClientTls};
pub use config::{Config, EXAMPLE, KeyPair, Keys};
pub use http::openapi;
pub use service::{Clock, ServiceError, serve};
