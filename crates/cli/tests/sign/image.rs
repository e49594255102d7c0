//! The signature of an image, in a real registry, as cosign reads it.

use std::fs;
use std::process::Command;

use crate::registries::{Registry, layout};
use crate::tools::{cache, expect, part, path};
use crate::world::{Desk, takes};

#[test]
fn cosign_verifies_an_image_that_was_signed_here_and_no_other() {
    let desk = Desk::new();
    let (Some(registry), Some(cosign)) = (Registry::listing(), part("cosign", cache("tools/cosign"))) else {
        return;
    };
    let digest = layout(&desk.file("image"));
    let manifest = fs::read(desk.file(&format!("image/blobs/sha256/{}", digest.hex()))).unwrap();
    fs::write(desk.file("manifest"), &manifest).unwrap();
    let mut ask = desk.ask("cosign-image", "blobs.key", "release/images");
    ask.bundles.push(desk.release("manifest", "release"));
    let (_, bundle) = desk.signed(&ask, "manifest");
    desk.on_record(&bundle, &manifest, "policy");

    let copy = ["copy", "--insecure-policy", "--preserve-digests", "--dest-tls-verify=false"];
    let (from, to) = (format!("oci:{}", desk.at("image")), format!("docker://{}/shop:1", registry.address));
    takes("skopeo", &[&copy[..], &[&from, &to]].concat()).unwrap();
    let image = format!("{}/shop@{digest}", registry.address);
    let verify = |key: &str| {
        let how = ["verify", "--key", key, "--insecure-ignore-tlog", "--allow-http-registry", &image];
        let output = Command::new(path(&cosign)).args(how).env("HOME", desk.dir.path()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(!verify(&desk.at("blobs.pub")).0, "nothing was attached");
    expect(0, &["attach", &image, "--bundle", &desk.at("out"), "--registry", "--plain-http"]);
    let (is_verified, said) = verify(&desk.at("blobs.pub"));
    assert!(is_verified, "{said}");
    expect(0, &["keygen", &desk.at("stranger"), "--no-passphrase"]);
    assert!(!verify(&desk.at("stranger.pub")).0);
}
