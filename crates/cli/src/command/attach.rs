//! `portcullis attach ARTIFACT --bundle FILE`: brings evidence beside an artifact, and says what the manifest must say.

mod annotation;
mod bundles;
mod manifest;
mod push;

use std::path::PathBuf;

use attest::{Json, Object};
use evidence::{Attachment, Store};

use crate::clock;
use crate::command::destination::{Server, check_stored, not_stored};
use crate::command::registry::{Access, image};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use annotation::Annotation;
use bundles::Brought;

/// Bring evidence beside an artifact
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The set replaces the one that was attached before; older bundles stay where they are, by digest.
Every bundle must be about the artifact, or about a commit. None of them is proven here: the choke
point does that.

Examples:
  portcullis attach registry.example/shop@sha256:9f3c… --bundle shop.sigstore.json \\
      --bundle shop.review.json --server https://portcullis.example:8443 \\
      --client-certificate ci.crt --client-key ci.key --ca ca.crt \\
      --tag registry.example/shop:1.4
  portcullis attach ./shop --bundle shop.sigstore.json --store evidence --manifest deploy.yaml \\
      --in-place
  portcullis attach sha256:9f3c… --bundle shop.sigstore.json --inline --manifest deploy.yaml \\
      > deploy.signed.yaml
  portcullis attach registry.example/shop@sha256:9f3c… --bundle shop.sigstore.json --registry \\
      --docker-config ~/.docker/config.json")]
pub(crate) struct Args {
    /// A file, sha256:HEX, or REPOSITORY@sha256:HEX
    artifact: String,
    /// Evidence; may be given more than once
    #[arg(long = "bundle", value_name = "FILE", required = true)]
    bundles: Vec<PathBuf>,
    /// Put it into the evidence store in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    store: Option<PathBuf>,
    /// Push it to the image's registry, where cosign finds it too
    #[arg(long)]
    registry: bool,
    /// Say that this tag stands for the artifact from now on, as in registry.example/shop:1.4
    #[arg(long, value_name = "REPOSITORY:TAG")]
    tag: Option<String>,
    /// Put the evidence itself into the annotation, for where no choke point's store can be reached
    #[arg(long)]
    inline: bool,
    /// Write the annotation into the Pod templates of this Kubernetes manifest that use the artifact
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Change the manifest's file; without, the changed text goes to standard output
    #[arg(long, requires = "manifest")]
    in_place: bool,
    /// Take the place of evidence that the manifest names already, of other artifacts too
    #[arg(long, requires = "manifest")]
    replace: bool,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    access: Access,
}

/// What was done, to be told.
struct Done {
    attachment: Attachment,
    brought: Vec<Brought>,
    annotation: Annotation,
    edited: Option<manifest::Edited>,
    pushed: Vec<registry::Pushed>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let is_kept = args.store.is_some() || args.server.url().is_some() || args.inline;
    // what an annotation names, a choke point has to find in its store
    if !is_kept && (!args.registry || args.manifest.is_some()) {
        return Err(Failure::new("nothing says where the evidence goes")
            .line("fix", "give --store DIR, or --server URL")
            .line("or", "carry it in the manifest itself: --inline")
            .line("or", "push it beside the image, without --manifest: --registry"));
    }
    if args.registry {
        image(&args.artifact)?;
    }
    let tag = args.tag.as_deref();
    let (attachment, brought) = bundles::read(&args.artifact, &args.bundles, tag)?;
    let annotation = if args.inline { Annotation::inline(&brought)? } else { Annotation::digests(&brought) };
    annotation.check_size()?;
    // all that can be wrong with a manifest is found before anything is stored
    let edited = match &args.manifest {
        Some(file) => Some(manifest::edit(file, attachment.artifact(), tag, &annotation, args.replace)?),
        None => None,
    };
    let mut done = Done { attachment, brought, annotation, edited, pushed: Vec::new() };
    store(args, &done)?;
    if args.registry {
        done.pushed = push::push(&args.artifact, &args.access, &done.brought)?;
    }
    if let Some((file, edited)) = args.manifest.as_ref().zip(done.edited.as_ref()).filter(|_| args.in_place) {
        crate::keys::write(file, &edited.text)?;
    }
    tell(args, &done, output);
    Ok(Exit::Clean)
}

fn store(args: &Args, done: &Done) -> Result<(), Failure> {
    if let Some(dir) = &args.store {
        let kept = Store::new(dir).keep_attachment(&done.attachment, clock::now(None)?);
        kept.map_err(|e| not_stored(&e))?;
    }
    if args.server.url().is_some() {
        let answer = args.server.put("/v1/evidence", &done.attachment.to_json())?;
        check_stored(&answer, &done.attachment.digests())?;
    }
    Ok(())
}

fn tell(args: &Args, done: &Done, output: &Output) {
    let place = args.store.as_ref().map(|dir| dir.display().to_string());
    let place = place.or_else(|| args.server.url().map(str::to_owned));
    let text = done.edited.as_ref().map(|e| e.text.as_str()).filter(|_| !args.in_place);
    if output.is_json() {
        output.result("", || to_json(done, place.as_deref(), text));
        return;
    }
    let mut out = match &place {
        Some(place) => format!("attached to {} in {place}:\n", done.attachment.artifact()),
        None => format!("about {}:\n", done.attachment.artifact()),
    };
    for brought in &done.brought {
        out.push_str(&format!("  {}  {}, {}\n", brought.digest, brought.name, brought.about_text()));
    }
    if let Some((repository, tag)) = done.attachment.tag() {
        out.push_str(&format!("  {repository}:{tag} stands for it from now on\n"));
    }
    out.push_str(&push::to_text(&done.pushed));
    match &done.edited {
        // no choke point's store has what only a registry has
        None if place.is_none() && !args.inline => {}
        None => out.push_str(&format!(
            "annotation, for the Pod template's metadata:\n  {}: \"{}\"\n",
            done.annotation.name(),
            done.annotation.value()
        )),
        Some(edited) => {
            for template in &edited.templates {
                out.push_str(&format!("  annotated {template}\n"));
            }
        }
    }
    match text {
        // the manifest alone is what goes down a pipe
        Some(text) => {
            output.progress(out.trim_end());
            output.script(text);
        }
        None => output.result(&out, || Json::Null),
    }
}

fn to_json(done: &Done, place: Option<&str>, text: Option<&str>) -> Json {
    let brought = |b: &Brought| {
        let object = Object::new().with("digest", b.digest.to_string()).with("name", b.name.as_str());
        Json::from(object.with("about", b.about_text()))
    };
    let annotation =
        Object::new().with("name", done.annotation.name()).with("value", done.annotation.value());
    let mut object = Object::new()
        .with("artifact", done.attachment.artifact().to_string())
        .with("bundles", Json::Array(done.brought.iter().map(brought).collect()))
        .with("annotation", annotation);
    if !done.pushed.is_empty() {
        object.set("pushed", push::to_json(&done.pushed));
    }
    object.set_some("place", place);
    object.set_some("tag", done.attachment.tag().map(|(repository, tag)| format!("{repository}:{tag}")));
    if let Some(edited) = &done.edited {
        let mut manifest = Object::new().with("templates", edited.templates.clone());
        manifest.set_some("text", text);
        object.set("manifest", manifest);
    }
    object.into()
}
