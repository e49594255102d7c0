//! The Kubernetes choke point as a service: what the API server asks, answered in time or refused.
//!
//! `service.rs` is the story of the process, `review.rs` of one request on the wire, `decide.rs` of one review. What
//! decides is behind [`Judge`]: the listener knows no policy, and who decides knows no HTTP.

mod after;
mod alarming;
mod asked;
mod attach;
pub(crate) mod certificates;
mod check;
mod config;
mod decide;
mod decisions;
mod door;
mod engine;
mod events;
mod files;
mod frame;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod gather;
mod governance;
mod http;
mod judge;
mod listen;
mod metrics;
mod openapi;
mod own;
mod owners;
mod rate;
mod ready;
mod registries;
pub(crate) mod review;
mod ruling;
pub(crate) mod service;
mod signing;
mod spooled;
mod standing;
mod summaries;
mod tell;
mod trace;

pub use after::Tell;
pub use check::{Checked, Problem, check};
pub use config::Registry as RegistryConfig;
pub(crate) use config::is_loopback;
pub use config::{AlarmWebhook, Alarms as AlarmsConfig, Mail as AlarmMail, MailTls, Sink as AlarmSink};
pub use config::{Api, Clients, Config, EXAMPLE, Governance, Log as LogConfig, Webhook as WebhookConfig};
pub use decide::Kubernetes;
pub use engine::{DecisionLog, Shared};

pub use governance::Part;
pub use judge::{
    Ask, Brought, Deadline, Judge, Judged, Kept, Look, NoAnswer, NotKept, NotRuled, Purpose, Question,
    Reloaded, Stage, Stages, Told,
};
pub use openapi::openapi;
pub(crate) use own::Own;
pub use owners::{Cluster, NotRead};
pub use rate::Allowance;
pub use registries::RegistryMetrics;
pub use ruling::Ruling;
pub use service::{Choke, ServeError, serve};
pub use summaries::{SummaryMetrics, in_trust_root};
