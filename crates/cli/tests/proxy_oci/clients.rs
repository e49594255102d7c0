//! What people push with: skopeo, crane and oras, each with what is admitted and what is not.

use attest::Digest;

use crate::images::{Image, index};
use crate::tools::{path, stdout};
use crate::world::{World, refused, succeeded};

#[test]
fn skopeo_pushes_what_is_admitted_and_is_told_why_not() {
    let Some(world) = World::new("") else { return };
    let push = |image: &Image, name: &str| world.skopeo(&image.folder, name, &[]);
    let (unknown, unreviewed, old) = (world.image("unknown"), world.image("unreviewed"), world.image("old"));
    world.evidence(&unreviewed.manifest, "review", 0);
    world.evidence(&old.manifest, "", 30);
    let good = world.good("good");
    for (image, name, rule, why) in [
        (&unknown, "shop:1", "built-by", "no provenance says how it was built"),
        (&unreviewed, "shop:1", "source-reviewed", "nobody has approved the source"),
        (&old, "shop:1", "built-within", "the build is too old"),
        (&good, "till:1", "source-repository", "another repository"),
        (&good, "shop/other:1", "policy-missing", "no policy guards this artifact in this environment"),
        (&good, "nobody/thing:1", "policy-missing", "give the name an environment"),
    ] {
        let said = refused(&push(image, name));
        assert!(said.contains("denied: error["), "{said}");
        assert!(said.contains(&format!("error[{rule}]")) && said.contains(why), "{rule}: {said}");
        assert!(said.contains("record: "), "{said}");
        world.is_empty();
    }
    succeeded(&push(&good, "shop:1"));
    assert_eq!(world.tag("shop:1"), Some(good.digest.to_string()));
    // a tag that is there moves to nothing that is not admitted
    refused(&push(&unknown, "shop:1"));
    assert_eq!(world.tag("shop:1"), Some(good.digest.to_string()));
    let other = world.good("other");
    succeeded(&push(&other, "shop:1"));
    assert_eq!(world.tag("shop:1"), Some(other.digest.to_string()));
}

#[test]
fn crane_pushes_images_and_indexes_and_moves_tags_to_what_is_admitted() {
    let Some(world) = World::new("") else { return };
    let at = |name: &str| format!("{}/{name}", world.open);
    let (unknown, good) = (world.image("unknown"), world.good("good"));
    let said = refused(&world.crane(&["push", path(&unknown.folder), &at("shop:1")]));
    assert!(said.contains("DENIED: error[built-by]"), "{said}");
    world.is_empty();
    succeeded(&world.crane(&["push", path(&good.folder), &at("shop:1")]));
    assert_eq!(world.tag("shop:1"), Some(good.digest.to_string()));
    succeeded(&world.crane(&["tag", &at("shop:1"), "2"]));
    assert_eq!(world.tag("shop:2"), Some(good.digest.to_string()));
    // a tag by the digest of an image whose evidence is gone
    world.evidence(&good.manifest, "test", 0);
    let said = refused(&world.crane(&["tag", &at("shop:1"), "3"]));
    assert!(said.contains("error[tests]"), "{said}");
    assert_eq!(world.tag("shop:3"), None);
    let said = refused(&world.crane(&["delete", &at(&format!("shop@{}", good.digest))]));
    assert!(said.contains("UNSUPPORTED: nothing is deleted through here"), "{said}");
    let tags = stdout(&world.crane(&["ls", &at("shop")]));
    assert!(tags == "1\n2\n" || tags == "2\n1\n", "{tags}");
}

#[test]
fn an_index_is_decided_by_its_own_digest_and_its_images_go_up_with_it() {
    let Some(world) = World::new("") else { return };
    let images = [world.image("amd"), world.image("arm")];
    let (layout, digest) = index(world.folder.path(), "both", &[&images[0], &images[1]]);
    let bytes = std::fs::read(layout.join("blobs/sha256").join(digest.hex())).unwrap();
    // the images' own evidence is not the index's
    world.evidence(&images[0].manifest, "", 0);
    world.evidence(&images[1].manifest, "", 0);
    // where skopeo may not write the list anew, it tells that alone
    let said = refused(&world.skopeo(&layout, "shop:1", &["--all"]));
    assert!(said.contains("Manifest list must be converted"), "{said}");
    let said = refused(&world.crane(&["push", "--index", path(&layout), &format!("{}/shop:1", world.open)]));
    assert!(said.contains("DENIED: error["), "{said}");
    world.is_empty();
    world.evidence(&bytes, "", 0);
    succeeded(&world.skopeo(&layout, "shop:1", &["--all"]));
    assert_eq!(world.tag("shop:1"), Some(digest.to_string()));
    let registry = format!("{}/shop:1", world.registry.address);
    succeeded(&world.crane(&["pull", "--insecure", "--format", "oci", &registry, "pulled"]));
    for image in &images {
        assert!(world.registry.stored().iter().any(|file| file.contains(&image.layer.hex())));
    }
    // by another client, which brings the layout's own index around it
    let around = std::fs::read(layout.join("index.json")).unwrap();
    world.evidence(&around, "", 0);
    succeeded(&world.crane(&["push", "--index", path(&layout), &format!("{}/shop:2", world.open)]));
    assert_eq!(world.tag("shop:2"), Some(Digest::sha256(&around).to_string()));
    // and all of it into a repository that has nothing
    let other = format!("{}/shop/other:2", world.open);
    let said = refused(&world.crane(&["push", "--index", path(&layout), &other]));
    assert!(said.contains("error[policy-missing]"), "{said}");
    assert!(!world.registry.stored().iter().any(|file| file.contains("/shop/other/")));
}

#[test]
fn a_grant_comes_in_a_header_or_names_the_image_and_lets_in_nothing_else() {
    let Some(world) = World::new("") else { return };
    let (unknown, other) = (world.image("unknown"), world.image("other"));
    let grant = world.site.grant("prod/shop", None);
    let copy = |image: &Image, name: &str, header: &str| {
        let (from, to) =
            (format!("{}@{}", path(&image.folder), image.digest), format!("{}/{name}", world.host));
        let (ca, cert, key) = ("certificates/ca.crt", "certificates/client.cert", "certificates/client.key");
        let mut args =
            vec!["copy", "--from-oci-layout", &from, &to, "--to-ca-file", ca, "--to-cert-file", cert];
        args.extend(["--to-key-file", key]);
        if !header.is_empty() {
            args.extend(["--to-header", header]);
        }
        world.oras(&args)
    };
    let header = format!("Portcullis-Breakglass: {grant}");
    let said = refused(&copy(&unknown, "shop:1", ""));
    assert!(said.contains("denied: error[built-by]"), "{said}");
    for (name, header) in
        [("till:1", header.as_str()), ("shop/other:1", &header), ("shop:1", "Portcullis-Breakglass: yes")]
    {
        let said = refused(&copy(&unknown, name, header));
        assert!(said.contains("denied: error["), "{said}");
        world.is_empty();
    }
    succeeded(&copy(&unknown, "shop:1", &header));
    assert_eq!(world.tag("shop:1"), Some(unknown.digest.to_string()));
    // skopeo can send no header: a grant that names the image speaks for itself, and for no other
    let more = world.image("more");
    world.site.grant("prod/shop", Some(&more.digest));
    refused(&world.skopeo(&other.folder, "shop:2", &[]));
    refused(&world.skopeo(&more.folder, "till:2", &[]));
    assert_eq!((world.tag("shop:2"), world.tag("till:2")), (None, None));
    succeeded(&world.skopeo(&more.folder, "shop:2", &[]));
    assert_eq!(world.tag("shop:2"), Some(more.digest.to_string()));
}
