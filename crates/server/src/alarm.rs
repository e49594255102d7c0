//! Where alarms come in, and from where they are told.
//!
//! An alarm is on record before anybody is told, and each sink is told at least once: what it was told last is kept in a
//! file, and what it was not is told again, also after a restart. Each sink has a thread: one that is slow or dead holds
//! up neither a decision nor another sink.

mod deliver;
mod desk;
mod file;
mod mail;
mod metrics;
mod notice;
mod post;

pub use deliver::Outbox;
#[cfg(test)]
pub(crate) use desk::tests as desks;
pub use desk::{Desk, Recorder, ReviewNotTaken};
pub use metrics::AlarmMetrics;
pub use notice::Notice;

use crate::webhook::AlarmSink;

/// Tells one place.
pub(crate) trait Tell: Send {
    /// Tells it, within a bounded time.
    ///
    /// # Errors
    /// What went wrong, in words without a secret.
    fn tell(&mut self, notice: &Notice) -> Result<(), String>;
}

/// Its name in metrics and messages, without a secret; and a digest that tells one from another.
pub(crate) fn name(sink: &AlarmSink) -> (String, String) {
    let (name, target) = match sink {
        AlarmSink::Webhook(webhook) => (format!("webhook {}", webhook.host()), webhook.url.clone()),
        AlarmSink::Mail(mail) => {
            let name = format!("smtp {}:{}", mail.host, mail.port);
            (name.clone(), format!("{name} {}", mail.to.join(" ")))
        }
        AlarmSink::File(file) => (format!("file {}", file.display()), file.display().to_string()),
    };
    let digest = attest::Digest::sha256(target.as_bytes()).hex();
    (name, digest.get(..16).unwrap_or_default().to_owned())
}

pub(crate) fn teller(sink: &AlarmSink, clock: &crate::Clock) -> Box<dyn Tell> {
    match sink {
        AlarmSink::Webhook(webhook) => Box::new(post::Post::new(webhook.clone(), clock.clone())),
        AlarmSink::Mail(mail) => Box::new(mail::Mailer::new(mail.clone())),
        AlarmSink::File(file) => Box::new(file::Lines::new(file.clone())),
    }
}

/// Sends a test through every sink; says what came of each.
#[must_use]
pub fn test(sinks: &[AlarmSink], origin: &str, clock: &crate::Clock) -> Vec<(String, Result<(), String>)> {
    let notice = Notice::test(origin, clock());
    let one = |sink: &AlarmSink| (name(sink).0, teller(sink, clock).tell(&notice));
    sinks.iter().map(one).collect()
}

/// A secret in a file, read each time it is used: so it can be replaced, and is in no memory in between.
pub(crate) fn secret(file: &std::path::Path, least: usize) -> Result<Vec<u8>, String> {
    let failed = |e| format!("{} cannot be read: {e}", file.display());
    let mut bytes = std::fs::read(file).map_err(failed)?;
    while bytes.last().is_some_and(u8::is_ascii_whitespace) {
        bytes.pop();
    }
    if bytes.len() < least {
        return Err(format!("{} holds less than {least} bytes", file.display()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
