//! How evidence travels, and what can be done to it on the way.

use crate::kubernetes::case::{Case, case};
use crate::kubernetes::fixtures::{Images, base64, squeezed};
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::world::World;

use super::pods::UNKNOWN;

const CREATE: &str = "create -f -";
const INLINE: &str = "portcullis.dev/evidence";
const STORED: &str = "portcullis.dev/evidence-digest";
/// An annotation that cannot be read is refused before anything is judged.
const UNREADABLE: [&str; 1] = ["request-readable"];

pub fn cases(images: &Images) -> Vec<Case> {
    let good = &images.good[0];
    let written = |name: &str, value: &str| {
        let spec = Spec::of(&[good]).without_evidence();
        spec.annotation(name, value).pod("web")
    };
    let unreadable = |name: &str, value: &str, lines: &[&str]| {
        case(name).tenant(CREATE, written(INLINE, value)).refused(&UNREADABLE, lines)
    };
    let one = attest::json::parse(good.evidence[0].as_bytes()).unwrap();
    let many = attest::Json::Array(vec![one.clone(); 65]).to_string();
    let broken = squeezed(b"[{}]").chars().rev().collect::<String>();
    let mut cases = vec![
        unreadable("an annotation that is no base64", "%%%", &[INLINE, "base64"]),
        unreadable("an annotation that is no gzip", &base64(b"hello"), &[INLINE, "gzip"]),
        unreadable("an annotation whose bytes were turned around", &broken, &[INLINE]),
        unreadable("an empty annotation", "", &[INLINE]),
        unreadable(
            "a bomb of 64 MiB",
            &squeezed(&vec![b' '; 64 << 20]),
            &[INLINE, "unpacks to more than 4194304 bytes", "portcullis attach"],
        ),
        unreadable("65 envelopes", &squeezed(many.as_bytes()), &[INLINE, "names 65 entries, more than 64"]),
        unreadable("an annotation that is no list", &squeezed(b"{}"), &[INLINE, "not an array of envelopes"]),
        unreadable("a list of noise", &squeezed(b"[1, 2]"), &[INLINE, "as entry 0, not an envelope"]),
        case("an annotation of 300 KiB is nothing that Kubernetes takes")
            .tenant(CREATE, written(INLINE, &"A".repeat(300 << 10)))
            .kubernetes("annotations: Too long"),
    ];
    cases.extend(stored(images));
    let twice = attest::Json::Array(vec![one; 2]).to_string();
    cases.push(unreadable("the same bundle twice", &squeezed(twice.as_bytes()), &[INLINE, "twice"]));
    cases
}

/// Evidence that the annotation only names.
fn stored(images: &Images) -> Vec<Case> {
    let third = &images.good[2];
    let named = |value: &str| Spec::of(&[third]).without_evidence().annotation(STORED, value);
    let image = third.clone();
    let put = move |world: &World<'_>, _: &str| {
        let named = world.webhook().attach(&image.reference, &image.evidence, None);
        assert_eq!(named, image.evidence_digests());
    };
    let nobody = format!("sha256:{}", "0".repeat(64));
    vec![
        case("evidence that CI attached, named by its digest")
            .act(put.clone())
            .tenant(CREATE, named(&third.evidence_digests()).pod("web"))
            .says(&["pod/web created"]),
        case("half of the evidence inline, half by its digest")
            .act(put)
            .tenant(CREATE, named(&third.evidence_digests()).bundle(&third.evidence[0]).pod("web"))
            .says(&["pod/web created"]),
        case("a digest under which nothing is stored").tenant(CREATE, named(&nobody).pod("web")).denied(&[
            "error[",
            &nobody,
            "\n  fix  ",
        ]),
        case("a digest that is none")
            .tenant(CREATE, named("sha256:abc").pod("web"))
            .refused(&UNREADABLE, &[STORED]),
        case("a path instead of a digest")
            .tenant(CREATE, named("../../etc/passwd").pod("web"))
            .refused(&UNREADABLE, &[STORED]),
        case("evidence that stands on the metadata of another object does not count")
            .tenant(CREATE, Spec::of(&[&images.good[1]]).without_evidence().pod("web"))
            .refused(&UNKNOWN, &["spec.containers[0].image"]),
    ]
}
