//! Release signatures over the network: the case first, on record; then the key is opened; then the signature, on record; then
//! the answer. The one who asks has a certificate with a name that the key's own list has.

mod question;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use attest::{Digest, Json, Object, release};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use chokepoint::{Basis, Signed};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::{Refusal, idempotency, only};
use crate::webhook::config::Signing;
use crate::webhook::decisions::{self, Answers, Id, Lead, Said, malformed};
use crate::webhook::door::Inside;
use crate::webhook::frame::Frame;
use crate::webhook::http::{Caller, list_of};
use crate::webhook::judge::{Deadline, NotRuled, Told};
use crate::webhook::rate::Rates;
use crate::webhook::review::{body, drain, shed, tell};
use crate::webhook::ruling::Ruling;
use crate::webhook::service::Front;
use crate::webhook::signing::question::Asked;
use crate::webhook::summaries;

/// What is signed, in base64, and the evidence beside it.
const MAX_BODY: u64 = (question::MAX_CONTENT as u64) / 3 * 4 + (8 << 20);
/// So many bodies of that size are in memory at once.
const PLACES: usize = 2;

type Refused = (&'static str, Refusal);

/// What the API works with. No key is in it.
#[derive(Debug)]
pub(crate) struct Releasing {
    keys: Vec<Signing>,
    rates: Rates,
    places: Arc<Semaphore>,
    /// Names that have a place: one each, or else one of them, which sends slowly, would have all.
    busy: Arc<Mutex<BTreeSet<String>>>,
    answers: Arc<Answers>,
}

/// Room for a body, and the names of whoever has it.
#[derive(Debug)]
struct Place {
    names: BTreeSet<String>,
    busy: Arc<Mutex<BTreeSet<String>>>,
    _room: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|name| !self.names.contains(name));
    }
}

impl Releasing {
    pub(crate) fn new(keys: &[Signing]) -> Option<Self> {
        let (keys, rates, places) = (keys.to_vec(), Rates::default(), Arc::new(Semaphore::new(PLACES)));
        let (busy, answers) = (Arc::default(), Arc::default());
        (!keys.is_empty()).then(|| Self { keys, rates, places, busy, answers })
    }

    /// Whether a certificate may ask for any of them.
    pub(crate) fn knows(&self, caller: &Caller) -> bool {
        !self.names(caller).is_empty()
    }

    /// The names of a certificate that any of them is for.
    fn names(&self, caller: &Caller) -> BTreeSet<String> {
        let own = caller.0.as_deref().unwrap_or_default().iter();
        own.filter(|own| self.keys.iter().any(|key| key.names.contains(own))).cloned().collect()
    }

    /// A place for whoever has none.
    fn place(&self, caller: &Caller) -> Result<Place, Refused> {
        let refusal = |message: &str| ("shed", Refusal::new(429, "busy", message).again(1));
        let names = self.names(caller);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.is_disjoint(&names) {
            return Err(refusal("something is being signed for whoever asks already: one at a time"));
        }
        let room = Arc::clone(&self.places).try_acquire_owned();
        let room = room.map_err(|_| refusal("too much is to be signed at once"))?;
        busy.extend(names.iter().cloned());
        Ok(Place { names, busy: Arc::clone(&self.busy), _room: room })
    }
}

/// Answers one request.
pub(crate) async fn answer(front: Arc<Front>, caller: &Caller, request: Request) -> Response {
    let (mut frame, deadline) = Frame::begin(&front, "sign", &request);
    let end = match deadline {
        Err(refusal) => {
            drain(request.into_body()).await;
            Err(malformed(refusal))
        }
        Ok(deadline) => through(&front, caller, deadline, request, &mut frame).await,
    };
    frame.end(match end {
        Ok((said, is_replayed)) => (said.end, said.response(false, is_replayed)),
        Err((end, refusal)) => (end, refusal.into_response()),
    })
}

async fn through(
    front: &Arc<Front>,
    caller: &Caller,
    deadline: Deadline,
    request: Request,
    frame: &mut Frame,
) -> Result<(Arc<Said>, bool), Refused> {
    let nobody = || ("failed", Refusal::new(404, "no-such-route", "nothing is signed here"));
    let releasing = front.signing.as_ref().ok_or_else(nobody)?;
    let (head, rest) = request.into_parts();
    let (key, place, inside) = match enter(front, releasing, caller, &head, &deadline) {
        Ok(entered) => entered,
        Err(refused) => {
            drain(rest).await;
            return Err(refused);
        }
    };
    let bytes = body(Request::from_parts(head, rest), MAX_BODY, &deadline).await.map_err(malformed)?;
    let (now, until) = (frame.now, tokio::time::Instant::from_std(deadline.at()));
    let mut lead = None;
    if let Some(key) = key {
        // by all its names: which of them asks depends on the release key
        let id = Id { asker: caller.0.as_deref().unwrap_or_default().join("\n"), key };
        match decisions::claim(&releasing.answers, id, &bytes, front, (now, until)).await? {
            Ok(said) => return Ok((said, true)),
            Err(own) => lead = Some(own),
        }
    }
    let Ok(Some(thread)) = tokio::time::timeout_at(until, front.door.thread()).await else {
        return Err(decisions::late());
    };
    let caller = caller.clone();
    let work = Work { caller, bytes, deadline, now, _held: (inside, thread, place) };
    let own = Arc::clone(front);
    let work = tokio::task::spawn_blocking(move || work.run(&own, lead));
    match tokio::time::timeout_at(until, work).await {
        Ok(Ok(said)) => Ok((said?, false)),
        Ok(Err(e)) => Err(("failed", decisions::failed(&format!("cannot sign: {e}")))),
        Err(_) => Err(decisions::late()),
    }
}

/// Who is let in: what they call their question, and their places.
type Entered = (Option<String>, Place, Inside);

fn enter(
    front: &Front,
    releasing: &Releasing,
    caller: &Caller,
    head: &Parts,
    deadline: &Deadline,
) -> Result<Entered, Refused> {
    if !releasing.knows(caller) {
        return Err(("unauthenticated", stranger(caller)));
    }
    only(head.uri.query(), &["timeout"]).map_err(malformed)?;
    let key = idempotency(&head.headers).map_err(malformed)?;
    let place = releasing.place(caller)?;
    let inside = front.door.enter(deadline).map_err(|estimate| ("shed", shed(estimate)))?;
    Ok((key, place, inside))
}

/// What a thread holds while it works.
struct Work {
    caller: Caller,
    bytes: Bytes,
    deadline: Deadline,
    now: Timestamp,
    _held: (Inside, OwnedSemaphorePermit, Place),
}

impl Work {
    fn run(self, front: &Front, lead: Option<Lead>) -> Result<Arc<Said>, Refused> {
        let began = Instant::now();
        let said = catch_unwind(AssertUnwindSafe(|| self.sign(front))).unwrap_or_else(|_| {
            front.tell("signing-panicked", Object::new());
            Err(("panicked", decisions::failed("cannot sign: the choke point failed; nothing was signed")))
        });
        front.door.took(began.elapsed());
        let (said, end) = said?;
        let said = Arc::new(said);
        if let Some(lead) = lead.filter(|_| said.end == "answered") {
            lead.finish(Arc::clone(&said), self.now, end);
        }
        Ok(said)
    }

    /// What is answered, and until when that may be given again.
    fn sign(&self, front: &Front) -> Result<(Said, Option<Timestamp>), Refused> {
        let releasing = front.signing.as_ref().ok_or_else(|| ("failed", stranger(&self.caller)))?;
        let asked = Asked::read(&self.bytes, &releasing.keys, &self.caller, front.config.cluster())?;
        if !releasing.rates.takes(&asked.key.name, asked.key.rate, self.now) {
            let message = format!("the key {} was asked for too often in this hour", asked.key.name);
            return Err(("shed", Refusal::new(429, "too-often", &message).again(60)));
        }
        let line = Object::new().with("asker", asked.asker.as_str()).with("key", asked.key.name.as_str());
        let request = &asked.question.request;
        let (environment, artifact) = (request.environment.clone(), request.artifact.short());
        let rule = || {
            self.deadline.check().or(Err(NotRuled::Late))?;
            front.judge.rule(asked.question.clone(), &self.deadline, self.now)
        };
        let ruling = rule().map_err(|no| decisions::refused(front, &no, line.clone()))?;
        let told = Told { environment, artifact, ..decisions::told(&ruling) };
        tell(front, &told, line.clone(), self.deadline.is_over());
        if !ruling.is_admitted() {
            return Ok((decisions::said(&ruling), None));
        }
        lasts(&ruling)?;
        let (signature, signed) = self.make(front, &asked, &ruling).map_err(|why| {
            front.tell("not-signed", line.clone().with("found", why.as_str()));
            ("failed", unsigned(&why))
        })?;
        // nobody has it before it is on record
        front.judge.put_on_record(signed.event(self.now)).map_err(|why| {
            front.tell("not-signed", line.clone().with("found", why.as_str()));
            ("failed", decisions::failed("cannot sign: the signature is not on record, so nobody has it"))
        })?;
        front.tell(
            "signed",
            line.with("signature", signed.signature.to_string()).with("record", signed.record),
        );
        let object = ruling.to_json().with("form", asked.form.name()).with("signature", signature);
        let said = Said { json: format!("{}\n", Json::from(object)), ..decisions::said(&ruling) };
        Ok((said, decisions::end_of(&ruling)))
    }

    /// Opens the key and signs. Nobody has the signature yet.
    fn make(&self, front: &Front, asked: &Asked<'_>, ruling: &Ruling) -> Result<(String, Signed), String> {
        let record = ruling.receipt().ok_or("the decision is not on record")?.to_owned();
        let block = asked.key.block.as_ref().map(std::fs::read).transpose().map_err(|e| e.to_string())?;
        let key = summaries::key::open(&asked.key.key)?;
        // the trust root may be another one than at the start
        if let Some(whose) = front.judge.others(key.public()) {
            return Err(format!("the release key is {whose}"));
        }
        let file = Digest::sha256(&asked.content);
        let name = asked.question.request.artifact.uri().rsplit('/').next().unwrap_or_default();
        let signature =
            release::sign(asked.form, key.as_ref(), block.as_deref(), &asked.content, name, self.now);
        let signature = signature.map_err(|e| e.to_string())?;
        let signed = Signed {
            signature: Digest::sha256(signature.as_bytes()),
            record,
            file,
            environment: asked.question.request.environment.clone(),
            form: asked.form.name().to_owned(),
            key: key.public().id(),
        };
        Ok((signature, signed))
    }
}

/// A signature lasts, and who reads it sees no mode: only the policy itself, or a person's grant, lets it be made.
fn lasts(ruling: &Ruling) -> Result<(), Refused> {
    let basis = ruling.decision().basis();
    if matches!(basis, Basis::Policy | Basis::Breakglass) {
        return Ok(());
    }
    let refusal = Refusal::new(403, "admission-does-not-last", "it is admitted, and not signed")
        .wanted("a policy that is met, or a grant: a signature lasts")
        .found(&format!("admitted by {} alone", basis.name()))
        .fix("mend what the policy asks for, as `portcullis verify` shows it");
    Err(("refused", refusal))
}

fn unsigned(why: &str) -> Refusal {
    Refusal::new(503, "not-signed", "it is admitted and on record, and cannot be signed")
        .found(why)
        .fix("have the key, or the file, mended; then ask again")
}

/// Somebody whom no key's list has.
fn stranger(caller: &Caller) -> Refusal {
    let found = caller
        .0
        .as_deref()
        .map_or("no client certificate".to_owned(), |own| format!("a certificate with {}", list_of(own)));
    Refusal::new(403, "not-permitted", "whoever asks may have nothing signed")
        .wanted("a client certificate with a name that `signing: names` has")
        .found(&found)
        .fix("come with another certificate, or have its name added to the key's `names`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::config::SummaryKey;

    fn key(name: &str, names: &[&str]) -> Signing {
        Signing {
            name: name.to_owned(),
            family: "minisign",
            key: SummaryKey::File("x.key".into()),
            place: attest::Place { file: "serve.yaml".into(), line: 1, column: 1 },
            block: None,
            environments: vec!["release/*".to_owned()],
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            rate: 2,
        }
    }

    fn caller(names: &[&str]) -> Caller {
        Caller(Some(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    #[test]
    fn one_name_has_one_place_whichever_certificate_it_shows_and_the_others_have_theirs() {
        let releasing = Releasing::new(&[key("a", &["ci", "bot"]), key("b", &["desk"])]).unwrap();
        let first = releasing.place(&caller(&["ci", "unlisted"])).unwrap();
        for own in [caller(&["ci"]), caller(&["bot", "ci"])] {
            let (end, refusal) = releasing.place(&own).unwrap_err();
            let said = format!("{refusal:?}");
            assert!(end == "shed" && said.contains("already: one at a time"), "{said}");
        }
        let second = releasing.place(&caller(&["desk"])).unwrap();
        let (_, refusal) = releasing.place(&caller(&["bot"])).unwrap_err();
        assert!(format!("{refusal:?}").contains("too much is to be signed at once"), "{refusal:?}");
        drop(first);
        drop(releasing.place(&caller(&["bot"])).unwrap());
        drop((releasing.place(&caller(&["ci"])).unwrap(), second));
        assert!(releasing.busy.lock().unwrap().is_empty());
    }
}
