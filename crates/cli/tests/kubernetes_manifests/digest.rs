//! Digests of objects as the command line and a real API server give them.

use super::{Guarded, OTHER, PINNED, portcullis};

fn digest(folder: &std::path::Path, exit: i32, args: &[&str], files: &[(&str, &str)]) -> String {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let path = |arg: &&str| match files.iter().any(|(name, _)| name == arg) {
        true => folder.join(arg).display().to_string(),
        false => (*arg).to_owned(),
    };
    portcullis(exit, &["kubernetes", "digest"].iter().chain(args).map(path).collect::<Vec<_>>())
}

#[test]
fn the_digest_of_a_dry_run_is_the_digest_of_what_then_is_there() {
    let Some(guarded) = Guarded::start(&[]) else { return };
    let folder = guarded.out.path();
    let create =
        ["create", "deployment", "web", &format!("--image={PINNED}"), "-o", "json"].map(str::to_owned);
    let create: Vec<&str> = create.iter().map(String::as_str).collect();
    let before = guarded.ok(OTHER, "shop", &[&create[..], &["--dry-run=server"]].concat(), "");
    guarded.ok(OTHER, "shop", &create, "");
    let get = ["get", "deployment", "web", "-o", "json"];
    let there = guarded.ok(OTHER, "shop", &get, "");
    let one = digest(folder, 0, &["old.json"], &[("old.json", &before)]);
    assert!(one.starts_with("sha256:") && one.ends_with("  kubernetes:shop/Deployment/web\n"), "{one}");
    assert_eq!(one, digest(folder, 0, &["new.json"], &[("new.json", &there)]));
    digest(folder, 0, &["--diff", "old.json", "new.json"], &[("old.json", &before), ("new.json", &there)]);

    guarded.ok(OTHER, "shop", &["set", "env", "deployment/web", "DEBUG=1"], "");
    let changed = guarded.ok(OTHER, "shop", &get, "");
    let said = digest(
        folder,
        1,
        &["--diff", "old.json", "new.json"],
        &[("old.json", &before), ("new.json", &changed)],
    );
    assert!(
        said.contains("kubernetes:shop/Deployment/web: spec.template.spec.containers[")
            && said.contains("DEBUG"),
        "{said}"
    );
    let secret = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"shop"},"data":{"a":"Yg=="}}"#;
    let said = digest(folder, 2, &["s.json"], &[("s.json", secret)]);
    assert!(said.contains("--secret-key"), "{said}");
}
