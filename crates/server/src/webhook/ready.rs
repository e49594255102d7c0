//! Ready means: can decide. Looked at on a rhythm of its own, so that whoever asks costs nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use attest::{Json, Object};

use crate::webhook::judge::Look;

/// Whoever was not looked at for so long cannot say that it is well.
const OLDEST: Duration = Duration::from_secs(30);
/// A certificate that ends within so many seconds is worth a warning.
const SOON: i64 = 7 * 86_400;

/// What was seen last.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Look)>>);

/// What is known at the moment of asking.
#[derive(Debug)]
pub(crate) struct Now {
    /// Who may ask here.
    pub(crate) serves: Vec<&'static str>,
    pub(crate) is_draining: bool,
    pub(crate) certificate: Result<(), String>,
    pub(crate) certificate_left: i64,
    /// Why the files on disk are not in force, where they are not: a restart would not find the ones that are.
    pub(crate) certificate_refused: Option<String>,
}

impl Readiness {
    pub(crate) fn saw(&self, look: Look) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), look));
    }

    /// The parts, what is wrong with each, what will be, and whether all are well.
    pub(crate) fn check(&self, now: &Now) -> (Json, bool) {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts: Vec<(&str, Option<String>)> = Vec::new();
        match &*last {
            None => parts.push(("choke point", Some("it was not looked at yet".to_owned()))),
            Some((at, _)) if at.elapsed() > OLDEST => {
                let found = format!("it does not answer for {} s", at.elapsed().as_secs());
                parts.push(("choke point", Some(found)));
            }
            Some((_, look)) => {
                let found = look.parts.iter().map(|(name, state)| (*name, state.as_ref().err().cloned()));
                parts.extend(found);
            }
        }
        parts.push(("certificate", now.certificate.as_ref().err().cloned()));
        parts.push(("draining", now.is_draining.then(|| "it was told to stop".to_owned())));
        let is_ready = parts.iter().all(|(_, wrong)| wrong.is_none());
        let mut states = Object::new();
        for (name, wrong) in parts {
            states.set(name, wrong.unwrap_or_else(|| "ok".to_owned()));
        }
        let mut warnings = Vec::new();
        if now.certificate.is_ok() && now.certificate_left < SOON {
            warnings.push(format!("the certificate ends in {} h", now.certificate_left / 3600));
        }
        let refused = now.certificate_refused.iter();
        warnings.extend(refused.map(|why| format!("the certificate on disk is not in force: {why}")));
        warnings.extend(last.iter().flat_map(|(_, look)| look.warnings.iter().cloned()));
        if let Some((_, look)) = &*last
            && !look.book_stale.is_zero()
        {
            warnings.push(format!("the book on disk is not in force for {} s", look.book_stale.as_secs()));
        }
        let json = Object::new().with("ready", is_ready).with("serves", now.serves.clone());
        let json = json.with("parts", states).with("warnings", warnings);
        (json.into(), is_ready)
    }
}
