//! Evidence goes up by itself; what only says that it is evidence does not.

use std::fs;

use attest::Digest;

use crate::images::{CONFIG, INDEX, Image, LAYER, MANIFEST};
use crate::registries::Registry;
use crate::tools::{cache, expect, part, path, stdout};
use crate::world::{World, refused, succeeded};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";

/// A world with an image in the registry.
fn with_image() -> Option<(World, Image)> {
    part("cosign", cache("tools/cosign"))?;
    let world = World::new("")?;
    let image = world.good("good");
    succeeded(&world.skopeo(&image.folder, "shop:1", &[]));
    Some((world, image))
}

#[test]
fn cosign_attests_and_signs_through_the_proxy_in_both_its_forms() {
    let Some((world, image)) = with_image() else { return };
    let reference = format!("{}/shop@{}", world.host, image.digest);
    let write = |name: &str, text: &str| fs::write(world.folder.path().join(name), text).unwrap();
    write("signing.json", r#"{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}"#);
    let definition = r#""buildDefinition":{"buildType":"x","externalParameters":{}}"#;
    write("predicate.json", &format!(r#"{{{definition},"runDetails":{{"builder":{{"id":"b"}}}}}}"#));
    expect(0, &["keygen", path(&world.folder.path().join("vendor")), "--no-passphrase"]);
    let import = ["import-key-pair", "--key", "vendor.key", "-o", "imported", "-y"];
    succeeded(&world.run(path(&cache("tools/cosign")), &import));
    let old = ["--use-signing-config=false", "--new-bundle-format=false", "--tlog-upload=false"];
    for form in [&["--signing-config", "signing.json"][..], &old] {
        let what = ["--predicate", "predicate.json", "--type", "slsaprovenance1", "-y", &reference];
        succeeded(&world.cosign(&[&["attest", "--key", "imported.key"], form, &what].concat()));
        succeeded(&world.cosign(&[&["sign", "--key", "imported.key", "-y"], form, &[&reference]].concat()));
    }
    let verify = ["verify-attestation", "--key", "vendor.pub", "--insecure-ignore-tlog", "--type"];
    let there = format!("{}/shop@{}", world.registry.address, image.digest);
    let verified = [&verify[..], &["slsaprovenance1", &there]].concat();
    succeeded(&world.run(path(&cache("tools/cosign")), &verified));
    let tags = world.curl("/v2/shop/tags/list", &[]).1;
    let tag = format!("sha256-{}", image.digest.hex());
    for tag in [format!("\"{tag}\""), format!("\"{tag}.att\"")] {
        assert!(tags.contains(&tag), "{tags}");
    }
    assert_eq!(world.tag("shop:1"), Some(image.digest.to_string()));
}

#[test]
fn oras_attaches_a_bundle_and_no_programs() {
    let Some((world, image)) = with_image() else { return };
    let reference = format!("{}/shop@{}", world.host, image.digest);
    fs::write(world.folder.path().join("test.json"), world.site.tested(&image.digest, "ci-tests", "passed"))
        .unwrap();
    fs::write(world.folder.path().join("program"), [0x7f, b'E', b'L', b'F', 0, 0]).unwrap();
    let attach = |kind: &str, file: &str| {
        let tls = ["--ca-file", "certificates/ca.crt", "--cert-file", "certificates/client.cert"];
        let key = ["--key-file", "certificates/client.key", "--artifact-type", kind];
        world.oras(&[&["attach", &reference, file], &tls[..], &key].concat())
    };
    let before = world.registry.stored();
    for kind in [BUNDLE, LAYER] {
        refused(&attach(kind, &format!("program:{kind}")));
        assert_eq!(world.registry.stored(), before);
    }
    succeeded(&attach(BUNDLE, &format!("test.json:{BUNDLE}")));
    let there = format!("{}/shop@{}", world.registry.address, image.digest);
    let listed = stdout(&world.oras(&["discover", "--plain-http", "--format", "json", &there]));
    assert!(listed.contains(BUNDLE), "{listed}");
}

#[test]
fn evidence_that_is_pushed_before_the_tag_admits_it() {
    let Some(registries) = Registry::all() else { return };
    for (registry, _) in registries {
        let world = World::asking(registry);
        for (name, key) in [("lonely", ""), ("strange", "forge"), ("proven", "ci-tests")] {
            let image = world.image(name);
            let from = format!("{}@{}", path(&image.folder), image.digest);
            if !key.is_empty() {
                let file = world.folder.path().join("test.json");
                fs::write(file, world.site.tested(&image.digest, key, "passed")).unwrap();
                let bundle = format!("test.json:{BUNDLE}");
                succeeded(&world.oras(&[
                    "attach",
                    "--oci-layout",
                    &from,
                    "--artifact-type",
                    BUNDLE,
                    &bundle,
                ]));
            }
            let to = format!("{}/cart:{name}", world.host);
            let tls = ["--to-ca-file", "certificates/ca.crt", "--to-cert-file", "certificates/client.cert"];
            let key = ["--to-key-file", "certificates/client.key"];
            let copied =
                world.oras(&[&["copy", "-r", "--from-oci-layout", &from, &to], &tls[..], &key].concat());
            let tag = world.tag(&format!("cart:{name}"));
            if name == "proven" {
                succeeded(&copied);
                assert_eq!(tag, Some(image.digest.to_string()));
            } else {
                let said = refused(&copied);
                assert!(said.contains("denied: error[signed-by]"), "{said}");
                assert_eq!(tag, None);
            }
        }
    }
}

#[test]
fn an_image_that_says_it_is_evidence_is_an_image() {
    let Some((world, good)) = with_image() else { return };
    let before = world.registry.stored();
    let subject = format!(
        r#","subject":{{"mediaType":"{MANIFEST}","digest":"{}","size":{}}}"#,
        good.digest,
        good.manifest.len()
    );
    let folder = world.folder.path();
    let tag = format!("sha256-{}", good.digest.hex());
    // by what it says of itself, by a type of its layer, by a tag, by a list
    let typed = format!(r#","artifactType":"{BUNDLE}"{subject}"#);
    for (name, layer, more) in [
        ("subject", LAYER, &subject),
        ("typed", LAYER, &typed),
        ("layer", DSSE, &subject),
        ("both", DSSE, &typed),
    ] {
        let image = Image::of(folder, name, layer, more);
        for digest in [&image.layer, &image.config] {
            world.blob("shop", &image.blob(digest));
        }
        let at = format!("shop/manifests/{}", image.digest);
        let (status, said) = world.manifest(&at, MANIFEST, &image.manifest, &["-i"]);
        assert!(status == 201 && said.contains("it waits here"), "{said}");
        for tag in ["1".to_owned(), tag.clone(), format!("{tag}.att"), format!("{tag}.sig")] {
            let (status, said) =
                world.manifest(&format!("shop/manifests/{tag}"), MANIFEST, &image.manifest, &[]);
            assert!(status == 403 && said.contains("error[built-by]"), "{name} {tag}: {said}");
        }
        let list = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{MANIFEST}","digest":"{}","size":{}}}]}}"#,
            image.digest,
            image.manifest.len()
        );
        let (status, said) = world.manifest(&format!("shop/manifests/{tag}"), INDEX, list.as_bytes(), &[]);
        assert!(status == 403 && said.contains("error[built-by]"), "{name}: {said}");
        assert_eq!(world.registry.stored(), before, "{name}");
    }
    // an image that is admitted, and evidence, each under the tag of the other
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{MANIFEST}","digest":"{}","size":{}}}]}}"#,
        good.digest,
        good.manifest.len()
    );
    let (status, said) = world.manifest(&format!("shop/manifests/{tag}"), INDEX, list.as_bytes(), &[]);
    assert!(status == 403, "{said}");
    let text = b"{\"payload\":\"\"}";
    let (layer, config) = (Digest::sha256(text), Digest::sha256(b"{}"));
    world.blob("shop", text);
    world.blob("shop", b"{}");
    let claim = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"{CONFIG}","digest":"{config}","size":2}},"layers":[{{"mediaType":"{DSSE}","digest":"{layer}","size":14}}]{subject}}}"#
    );
    assert_eq!(world.manifest("shop/manifests/1", MANIFEST, claim.as_bytes(), &[]).0, 403);
    assert_eq!(world.registry.stored(), before);
    let at = format!("shop/manifests/{}", Digest::sha256(claim.as_bytes()));
    let (status, said) = world.manifest(&at, MANIFEST, claim.as_bytes(), &["-i"]);
    assert!(status == 201 && !said.contains("it waits here"), "{said}");
    let after = world.registry.stored();
    assert_ne!(after, before);
    assert_eq!(world.tag("shop:1"), Some(good.digest.to_string()));
    // a program for a configuration
    let program = [0x7f, b'E', b'L', b'F', 0, 0, 0, 0];
    world.blob("shop", &program);
    let sized = format!("\"digest\":\"{}\",\"size\":8}}", Digest::sha256(&program));
    let hiding = claim.replace(&format!("\"digest\":\"{config}\",\"size\":2}}"), &sized);
    let at = format!("shop/manifests/{}", Digest::sha256(hiding.as_bytes()));
    let (status, said) = world.manifest(&at, MANIFEST, hiding.as_bytes(), &["-i"]);
    assert!(status == 201 && said.contains("it waits here"), "{said}");
    assert_eq!(world.registry.stored(), after);
}

#[test]
fn evidence_is_refused_where_the_configuration_says_so() {
    let Some(world) = World::new("oci: { evidence: refuse }") else { return };
    let (layer, subject) = (Digest::sha256(b"{}"), Digest::sha256(b"an image"));
    world.blob("shop", b"{}");
    let claim = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"{DSSE}","digest":"{layer}","size":2}},"layers":[{{"mediaType":"{DSSE}","digest":"{layer}","size":2}}],"subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":1}}}}"#
    );
    let at = format!("shop/manifests/{}", Digest::sha256(claim.as_bytes()));
    let (status, said) = world.manifest(&at, MANIFEST, claim.as_bytes(), &[]);
    assert!(status == 403 && said.contains("evidence is not taken here"), "{said}");
    world.is_empty();
}

#[test]
fn no_evidence_goes_where_no_route_leads() {
    let Some(world) = World::new("") else { return };
    let (layer, subject) = (Digest::sha256(b"{}"), Digest::sha256(b"an image"));
    world.blob("elsewhere", b"{}");
    let claim = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"{DSSE}","digest":"{layer}","size":2}},"layers":[{{"mediaType":"{DSSE}","digest":"{layer}","size":2}}],"subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":1}}}}"#
    );
    let at = format!("elsewhere/manifests/{}", Digest::sha256(claim.as_bytes()));
    let (status, said) = world.manifest(&at, MANIFEST, claim.as_bytes(), &["-i"]);
    assert!(status == 201 && said.contains("it waits here"), "{said}");
    let at = format!("elsewhere/manifests/sha256-{}.att", subject.hex());
    let (status, said) = world.manifest(&at, MANIFEST, claim.as_bytes(), &[]);
    assert!(status == 403 && said.contains("error[policy-missing]"), "{said}");
    world.is_empty();
}
