//! Evidence to the image's registry, one bundle after the other.

use attest::{Json, Object};
use registry::{PushError, Pushed};

use super::bundles::Brought;
use crate::command::registry::{Access, fix, image};
use crate::failure::Failure;

pub(super) fn push(artifact: &str, access: &Access, brought: &[Brought]) -> Result<Vec<Pushed>, Failure> {
    let (reference, digest) = image(artifact)?;
    let client = access.client(&reference)?;
    let push = |one: &Brought| {
        let pushed = client.push_evidence(&reference, &digest, one.bytes());
        pushed.map_err(|e| not_pushed(&one.name, artifact, &e))
    };
    brought.iter().map(push).collect()
}

fn not_pushed(name: &str, artifact: &str, error: &PushError) -> Failure {
    let failure = Failure::new(&format!("{name} cannot be pushed beside {artifact}"))
        .code("not-pushed")
        .line("found", &error.to_string());
    match error {
        PushError::NoBundle(_) => {
            failure.found().line("fix", "give a Sigstore bundle, as `portcullis build` and `attest` write")
        }
        PushError::NoImage => {
            failure.line("fix", "push the image first, and name it by the digest it has there")
        }
        PushError::Contended(_) => failure.line("fix", "try again"),
        PushError::Unknown(unknown) => match fix(&unknown.why) {
            Some(fix) => failure.line("fix", fix),
            None => failure,
        },
    }
}

pub(super) fn to_text(pushed: &[Pushed]) -> String {
    let one = |p: &Pushed| match &p.tag {
        None => format!("  pushed {} as {}\n", p.bundle.short(), p.manifest),
        Some(tag) => format!("  pushed {} as {}, listed under {tag}\n", p.bundle.short(), p.manifest),
    };
    pushed.iter().map(one).collect()
}

pub(super) fn to_json(pushed: &[Pushed]) -> Json {
    let one = |p: &Pushed| {
        let mut object = Object::new().with("manifest", p.manifest.to_string());
        object.set("bundle", p.bundle.to_string());
        object.set_some("tag", p.tag.as_deref());
        Json::from(object)
    };
    Json::Array(pushed.iter().map(one).collect())
}
