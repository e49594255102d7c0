//! An image's configuration, manifest and index (OCI image specification 1.0).

use attest::json::ShapeError;
use attest::{Digest, Json, Object};

use super::base::Base;
use super::layout::Blob;
use crate::definition::Image;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The configuration: the base's settings, changed as a person who writes `image:` would expect, and the layers of both.
pub(super) fn configuration(
    image: &Image,
    base: Option<&Base>,
    layer: &Digest,
    created: &str,
) -> Result<Object, String> {
    let wrong = |e: ShapeError| format!("its configuration is wrong: {e}");
    let below = base.map(|b| &b.configuration);
    let settings = below.map(|b| b.optional_object("config")).transpose().map_err(wrong)?.flatten();
    let settings = settings_of(image, settings.cloned().unwrap_or_default()).map_err(wrong)?;
    let list = |of: Option<&Object>, key: &str| {
        of.map_or(Ok(Vec::new()), |o| o.optional_array(key).map(<[Json]>::to_vec)).map_err(wrong)
    };
    let rootfs = below.map(|b| b.object("rootfs")).transpose().map_err(wrong)?;
    let mut ids = list(rootfs, "diff_ids")?;
    let mut history = list(below, "history")?;
    if history.is_empty() {
        // a history is for all layers or for none
        history = ids.iter().map(|_| Json::from(Object::new())).collect();
    }
    let is_of_layer = |h: &&Json| !h.as_object().and_then(|o| o.flag("empty_layer")).unwrap_or(false);
    if history.iter().filter(is_of_layer).count() != ids.len() {
        return Err("its history tells of other layers than it has".to_owned());
    }
    ids.push(Json::from(layer.to_string()));
    let own = Object::new().with("created", created).with("created_by", "portcullis image");
    history.push(Json::from(own));
    let mut parts = image.platform.split('/');
    let (system, architecture, variant) = (parts.next(), parts.next(), parts.next());
    let mut configuration = Object::new().with("created", created);
    configuration.set_some("architecture", architecture);
    configuration.set_some("os", system);
    let variant = variant.or_else(|| below.and_then(|b| b.optional_string("variant").ok().flatten()));
    configuration.set_some("variant", variant);
    Ok(configuration
        .with("config", settings)
        .with("rootfs", Object::new().with("type", "layers").with("diff_ids", Json::Array(ids)))
        .with("history", Json::Array(history)))
}

/// What the image's process gets.
fn settings_of(image: &Image, base: Object) -> Result<Object, ShapeError> {
    let mut settings = base;
    settings.set_some("User", image.user.as_deref());
    let mut environment = settings.optional_array("Env")?.to_vec();
    for (name, value) in &image.environment {
        let own = Json::from(format!("{name}={value}"));
        let is_it = |e: &&mut Json| e.as_str().is_ok_and(|e| e.split('=').next() == Some(name));
        match environment.iter_mut().find(is_it) {
            Some(of_base) => *of_base = own,
            None => environment.push(own),
        }
    }
    if !environment.is_empty() {
        settings.set("Env", Json::Array(environment));
    }
    let mut set_words = |key: &str, words: &[String]| {
        if words.is_empty() {
            settings.remove(key);
        } else {
            settings.set(key, words.to_vec());
        }
    };
    if let Some(entrypoint) = &image.entrypoint {
        set_words("Entrypoint", entrypoint);
        // the base's words are for the base's entrypoint
        set_words("Cmd", &[]);
    }
    if let Some(cmd) = &image.cmd {
        set_words("Cmd", cmd);
    }
    settings.set_some("WorkingDir", image.workdir.as_deref());
    let mut labels = settings.optional_object("Labels")?.cloned().unwrap_or_default();
    for (name, value) in &image.labels {
        labels.set(name, value.as_str());
    }
    if !labels.is_empty() {
        settings.set("Labels", labels);
    }
    Ok(settings)
}

/// The manifest: the base's layers as they were, and ours upon them.
pub(super) fn manifest(base: &[Blob], config: (&Digest, u64), layer: (&Digest, u64)) -> Object {
    let mut layers: Vec<Json> =
        base.iter().map(|b| descriptor(&b.media_type, &b.digest, b.size).into()).collect();
    layers.push(descriptor(LAYER, layer.0, layer.1).into());
    Object::new()
        .with("schemaVersion", 2)
        .with("mediaType", MANIFEST)
        .with("config", descriptor(CONFIG, config.0, config.1))
        .with("layers", Json::Array(layers))
}

/// The index: one image.
pub(super) fn index(manifest: (&Digest, u64), configuration: &Object) -> Object {
    let mut platform = Object::new();
    for key in ["architecture", "os", "variant"] {
        platform.set_some(key, configuration.get(key).cloned());
    }
    let image = descriptor(MANIFEST, manifest.0, manifest.1).with("platform", platform);
    Object::new()
        .with("schemaVersion", 2)
        .with("mediaType", INDEX)
        .with("manifests", Json::Array(vec![image.into()]))
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Object {
    Object::new()
        .with("mediaType", media_type)
        .with("digest", digest.to_string())
        .with("size", i64::try_from(size).unwrap_or(i64::MAX))
}
