//! From a body to what is to be signed: a question of the decision API, the key's name, the form, and the bytes.

use attest::digest::Hasher;
use attest::json::{Limits, ShapeError, parse_with};
use attest::release::Form;
use attest::{Agreement, Algorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Refused, stranger};
use crate::http::Refusal;
use crate::webhook::config::Signing;
use crate::webhook::decisions::read;
use crate::webhook::http::Caller;
use crate::webhook::judge::Question;

/// What is larger is signed by a list of checksums.
pub(super) const MAX_CONTENT: usize = 64 << 20;
const CHOKEPOINT: &str = "signatures";

/// What somebody wants signed.
#[derive(Debug)]
pub(super) struct Asked<'k> {
    pub(super) question: Question,
    /// The name in the certificate.
    pub(super) asker: String,
    pub(super) key: &'k Signing,
    pub(super) form: Form,
    /// These bytes are decided about, and these bytes are signed.
    pub(super) content: Vec<u8>,
}

impl<'k> Asked<'k> {
    pub(super) fn read(
        body: &[u8],
        keys: &'k [Signing],
        caller: &Caller,
        cluster: Option<&str>,
    ) -> Result<Self, Refused> {
        let bad = |found: &str| {
            let refusal = Refusal::new(400, "malformed", "the body is no question about a signature");
            let refusal = refusal.wanted("an object as /v1/openapi.json describes it").found(found);
            ("malformed", refusal)
        };
        let limits = Limits { bytes: body.len(), ..Limits::default() };
        let json = parse_with(body, limits).map_err(|e| bad(&e.to_string()))?;
        let shape = |e: ShapeError| bad(&e.to_string());
        let mut object = json.as_object().map_err(shape)?.clone();
        drop(json);
        let (key, form) = (object.string("key").map_err(shape)?, object.string("form").map_err(shape)?);
        let own = caller.0.as_deref().unwrap_or_default();
        let key = keys.iter().find(|one| one.name == key);
        let asker = key.and_then(|key| own.iter().find(|name| key.names.contains(name)));
        // whoever may not have it hears not whether it is there
        let (Some(key), Some(asker)) = (key, asker) else {
            return Err(("unauthenticated", stranger(caller)));
        };
        let form = Form::named(form).filter(|form| form.family() == key.family);
        let form = form.ok_or_else(|| {
            bad(&format!("a form that the key does not sign in; it is one for {}", key.family))
        })?;
        let content = STANDARD.decode(object.string("content").map_err(shape)?);
        let content = content.map_err(|_| bad("content that is no base64"))?;
        for taken in ["key", "form", "content"] {
            object.remove(taken);
        }
        let mut question = read::of(&object.into(), asker, cluster).map_err(shape)?;
        question.request.chokepoint = CHOKEPOINT.to_owned();
        let asked = Self { question, asker: asker.clone(), key, form, content };
        asked.check().map_err(|found| bad(&found))?;
        Ok(asked)
    }

    /// What is decided about is what is signed, where the key is for.
    fn check(&self) -> Result<(), String> {
        if self.content.len() > MAX_CONTENT {
            return Err(format!(
                "{} bytes to sign, where at most {MAX_CONTENT} are wanted",
                self.content.len()
            ));
        }
        if self.question.dry_run {
            return Err("a dry run, which signs nothing: ask /v1/decisions".to_owned());
        }
        let environment = &self.question.request.environment;
        if !self.key.is_for(environment) {
            return Err(format!("{environment}, which the key {} is not for", self.key.name));
        }
        let given = self.question.request.artifact.digests();
        let mut hasher = Hasher::new(&given.iter().map(|digest| digest.algorithm()).collect::<Vec<_>>());
        hasher.update(&self.content);
        let is_same =
            given.get(Algorithm::Sha256).is_some() && given.agrees(&hasher.finish()) == Agreement::Same;
        is_same.then_some(()).ok_or_else(|| "content that has not the artifact's digests".to_owned())
    }
}
