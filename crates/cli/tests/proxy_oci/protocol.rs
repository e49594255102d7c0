//! Uploads in all their forms, and manifests that are not what they say.

use attest::Digest;

use crate::images::{CONFIG, INDEX, Image, MANIFEST};
use crate::world::World;

/// Begins an upload, and gives its path.
fn begin(world: &World, more: &str) -> String {
    let (status, said) = world.curl(&format!("/v2/shop/blobs/uploads/{more}"), &["-X", "POST", "-i"]);
    assert_eq!(status, 202, "{said}");
    let line = said.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    assert!(line.starts_with("/v2/shop/blobs/uploads/"), "{line}");
    line.trim().to_owned()
}

/// Brings the blobs of an image.
fn bring(world: &World, image: &Image) {
    for digest in [&image.layer, &image.config] {
        world.blob("shop", &image.blob(digest));
    }
}

#[test]
fn a_blob_comes_in_parts_and_goes_on_after_a_break() {
    let Some(world) = World::new("") else { return };
    let image = world.good("good");
    let layer = image.blob(&image.layer);
    let at = begin(&world, "");
    let part = |range: &str, bytes: &[u8]| {
        let (file, range) = (world.file(bytes), format!("content-range: {range}"));
        let patch = ["-i", "-X", "PATCH", "-H", &range, "--data-binary", &format!("@{file}")];
        world.curl(&at, &patch)
    };
    let (status, said) = part("0-3999", &layer[..4000]);
    assert!(status == 202 && said.contains("range: 0-3999"), "{said}");
    // one that breaks off, one from elsewhere, one of another size: the upload stays as it was
    let broken = format!("@{}", world.file(&layer[4000..6000]));
    let cut = ["-X", "PATCH", "-H", "content-length: 5000", "--max-time", "2", "--data-binary", &broken];
    world.curl(&at, &cut);
    assert_eq!(part("0-999", &layer[..1000]).0, 416);
    assert_eq!(part("5000-5999", &layer[5000..6000]).0, 416);
    assert_eq!(part("4000-4999", &layer[4000..6000]).0, 400);
    let (status, said) = world.curl(&at, &["-i"]);
    assert!(status == 204 && said.contains("range: 0-3999"), "{said}");
    assert_eq!(part("4000-10239", &layer[4000..]).0, 202);
    // other bytes than its digest says
    let (status, said) = world.curl(&format!("{at}?digest={}", image.config), &["-X", "PUT"]);
    assert!(status == 400 && said.contains("DIGEST_INVALID"), "{said}");
    assert_eq!(world.curl(&at, &[]).0, 404, "and then there is no such upload");

    let at = begin(&world, "");
    let file = format!("@{}", world.file(&layer[..4000]));
    assert_eq!(world.curl(&at, &["-X", "PATCH", "--data-binary", &file]).0, 202);
    let file = format!("@{}", world.file(&layer[4000..]));
    let put = ["-X", "PUT", "-i", "--data-binary", &file];
    let (status, said) = world.curl(&format!("{at}?digest={}", image.layer), &put);
    assert!(status == 201 && said.contains(&format!("docker-content-digest: {}", image.layer)), "{said}");
    world.blob("shop", &image.blob(&image.config));
    let (status, said) = world.curl(&format!("/v2/shop/blobs/{}", image.layer), &["-I"]);
    assert!(status == 200 && said.contains("content-length: 10240"), "{said}");
    world.is_empty();
    let (status, said) = world.manifest("shop/manifests/1", MANIFEST, &image.manifest, &[]);
    assert_eq!(status, 201, "{said}");
    assert_eq!(world.tag("shop:1"), Some(image.digest.to_string()));
}

#[test]
fn an_upload_is_cancelled_and_a_mount_is_brought_or_there_already() {
    let Some(world) = World::new("") else { return };
    let image = world.good("good");
    let at = begin(&world, "");
    assert_eq!(world.curl(&at, &["-X", "DELETE"]).0, 204);
    let (status, said) = world.curl(&at, &["-X", "PATCH", "--data-binary", "x"]);
    assert_eq!(status, 404, "{said}");
    bring(&world, &image);
    assert_eq!(world.manifest("shop/manifests/1", MANIFEST, &image.manifest, &[]).0, 201);
    let before = world.registry.stored();
    // of another repository: it would be stored there before the decision
    let to = format!("/v2/till/blobs/uploads/?mount={}&from=shop", image.layer);
    let (status, said) = world.curl(&to, &["-i", "-X", "POST"]);
    assert!(status == 202 && said.contains("location: /v2/till/blobs/uploads/"), "{said}");
    let to = format!("/v2/shop/blobs/uploads/?mount={}&from=till", image.layer);
    assert_eq!(world.curl(&to, &["-X", "POST"]).0, 201);
    assert_eq!(world.registry.stored(), before);
    // what waits in one repository is not in another
    let other = world.image("other");
    world.blob("shop", &other.blob(&other.layer));
    assert_eq!(world.curl(&format!("/v2/till/blobs/{}", other.layer), &["-I"]).0, 404);
}

#[test]
fn a_manifest_that_is_not_what_was_decided_about_or_lacks_a_part_goes_nowhere() {
    let Some(world) = World::new("") else { return };
    let (good, other) = (world.good("good"), world.image("other"));
    bring(&world, &other);
    let text = String::from_utf8(good.manifest.clone()).unwrap();
    let put = |at: &str, kind: &str, text: &str| world.manifest(at, kind, text.as_bytes(), &[]);
    // the blobs of the admitted one were not brought
    let (status, said) = put("shop/manifests/1", MANIFEST, &text);
    assert!(status == 404 && said.contains("MANIFEST_BLOB_UNKNOWN"), "{said}");
    bring(&world, &good);
    let swapped = text.replace(&good.layer.to_string(), &other.layer.to_string());
    let longer = text.replace("\"size\":10240", "\"size\":10241");
    let twice = text.replacen("\"layers\"", "\"layers\":[],\"layers\"", 1);
    let both = text.replacen('{', "{\"manifests\":[],", 1);
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
    let by = |digest: &Digest| format!("shop/manifests/{digest}");
    // each in the next one
    let mut nested = index;
    for _ in 0..3 {
        let digest = Digest::sha256(nested.as_bytes());
        assert_eq!(put(&by(&digest), INDEX, &nested).0, 201);
        nested = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{INDEX}","digest":"{digest}","size":{}}}]}}"#,
            nested.len()
        );
    }
    for (at, kind, text, status, says) in [
        ("shop/manifests/1", MANIFEST, &swapped, 403, "error[built-by]"),
        ("shop/manifests/1", MANIFEST, &longer, 400, "MANIFEST_INVALID"),
        ("shop/manifests/1", MANIFEST, &twice, 403, "cannot be read"),
        ("shop/manifests/1", MANIFEST, &both, 403, "cannot be read"),
        ("shop/manifests/1", INDEX, &text, 403, "cannot be read"),
        ("shop/manifests/1", CONFIG, &text, 403, "cannot be read"),
        ("shop/manifests/1", INDEX, &nested, 400, "too many indexes in each other"),
        (&by(&good.digest), MANIFEST, &swapped, 400, "DIGEST_INVALID"),
        ("shop/manifests/1", MANIFEST, &"x".repeat((4 << 20) + 1), 413, "SIZE_INVALID"),
    ] {
        let (found, said) = put(at, kind, text);
        assert!(found == status && said.contains(says), "{says}: {found} {said}");
        world.is_empty();
    }
    assert_eq!(put("shop/manifests/1", MANIFEST, &text).0, 201);
    assert_eq!(world.tag("shop:1"), Some(good.digest.to_string()));
}

#[test]
fn what_nobody_knows_and_what_deletes_does_not_go_through() {
    let Some(world) = World::new("") else { return };
    let digest = Digest::sha256(b"x");
    for (method, at, status, code) in [
        ("DELETE", format!("/v2/shop/manifests/{digest}"), 405, "UNSUPPORTED"),
        ("DELETE", "/v2/shop/manifests/1".to_owned(), 405, "UNSUPPORTED"),
        ("DELETE", format!("/v2/shop/blobs/{digest}"), 405, "UNSUPPORTED"),
        ("POST", "/v2/shop/manifests/1".to_owned(), 405, "UNSUPPORTED"),
        ("PUT", "/v2/".to_owned(), 405, "UNSUPPORTED"),
        ("PATCH", "/v2/shop/tags/list".to_owned(), 405, "UNSUPPORTED"),
        ("PUT", "/v2/shop/manifests/..%2f1".to_owned(), 400, "encoded separator"),
        ("PUT", "/v2/shop%2fother/manifests/1".to_owned(), 400, "encoded separator"),
        ("PUT", "/v1/repositories/shop/images".to_owned(), 404, "NAME_INVALID"),
        ("GET", "/metrics".to_owned(), 404, "NAME_INVALID"),
        ("PUT", format!("/v2/shop/blobs/uploads/x?digest={digest}"), 404, "BLOB_UPLOAD_UNKNOWN"),
    ] {
        let (found, said) = world.curl(&at, &["-X", method, "--path-as-is"]);
        assert!(found == status && said.contains(code), "{method} {at}: {found} {said}");
    }
    let two = format!("/v2/shop/blobs/uploads/?digest={digest}&digest={digest}");
    assert_eq!(world.curl(&two, &["-X", "POST"]).0, 400);
    world.is_empty();
}

#[test]
fn what_waits_is_bounded_in_number_and_age() {
    let Some(world) = World::new("oci: { keep: 3s, places: 16 }") else { return };
    let image = world.good("good");
    bring(&world, &image);
    for _ in 0..14 {
        begin(&world, "");
    }
    let (status, said) = world.curl("/v2/shop/blobs/uploads/", &["-X", "POST"]);
    assert!(status == 429 && said.contains("TOOMANYREQUESTS"), "{said}");
    let at = format!("/v2/shop/blobs/{}", image.layer);
    assert_eq!(world.curl(&at, &["-I"]).0, 200);
    crate::site::until("the blob is there still", || world.curl(&at, &["-I"]).0 == 404);
    let (status, said) = world.manifest("shop/manifests/1", MANIFEST, &image.manifest, &[]);
    assert!(status == 404 && said.contains("or too long ago"), "{said}");
    world.is_empty();
    let begin = || world.curl("/v2/shop/blobs/uploads/", &["-X", "POST"]).0;
    crate::site::until("the uploads are there still", || begin() == 202);
    std::thread::sleep(std::time::Duration::from_secs(5));
    bring(&world, &image);
    assert_eq!(world.manifest("shop/manifests/1", MANIFEST, &image.manifest, &[]).0, 201);
}
