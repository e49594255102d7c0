//! Image references: one spelling for one repository, and nothing repaired.

use kubernetes::{Reference, ReferenceError};

#[test]
fn one_repository_has_one_spelling() {
    let hex = "a".repeat(64);
    for (given, written) in [
        ("nginx", "docker.io/library/nginx"),
        ("library/nginx:1", "docker.io/library/nginx:1"),
        ("index.docker.io/nginx", "docker.io/library/nginx"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("bob/shop", "docker.io/bob/shop"),
        ("localhost/shop", "localhost/shop"),
        ("registry.example/a/b_c/d__e/f---g.h:1.2-x_y", "registry.example/a/b_c/d__e/f---g.h:1.2-x_y"),
        ("registry.example:5000/shop", "registry.example:5000/shop"),
        ("shop:5000/x", "shop:5000/x"),
        ("[2001:db8::1]:5000/shop:1", "[2001:db8::1]:5000/shop:1"),
        (&format!("a:1@sha256:{hex}"), &format!("docker.io/library/a:1@sha256:{hex}")),
        (&format!("a@sha512:{hex}{hex}"), &format!("docker.io/library/a@sha512:{hex}{hex}")),
    ] {
        let reference = Reference::parse(given).unwrap_or_else(|e| panic!("{given}: {e}"));
        assert_eq!(reference.to_string(), written);
        assert_eq!(Reference::parse(written).unwrap(), reference, "{given}");
    }
}

#[test]
fn what_is_no_reference_says_why() {
    let hex = "a".repeat(64);
    let digest = |text: String| {
        (text.clone(), ReferenceError::Digest(text.split_once('@').unwrap().1.chars().take(80).collect()))
    };
    let own = |text: &str, error: ReferenceError| (text.to_owned(), error);
    for (given, error) in [
        own("", ReferenceError::Empty),
        own(":1", ReferenceError::Empty),
        own("Nginx", ReferenceError::UpperCase),
        own("Registry.example/x", ReferenceError::UpperCase),
        own(&hex, ReferenceError::LooksLikeId),
        own(&format!("{hex}{hex}:1"), ReferenceError::LooksLikeId),
        own("a//b", ReferenceError::Path(String::new())),
        own("a/../b", ReferenceError::Path("..".to_owned())),
        own("a___b", ReferenceError::Path("a___b".to_owned())),
        own("-a", ReferenceError::Path("-a".to_owned())),
        own(" a", ReferenceError::Path(" a".to_owned())),
        own("a\n", ReferenceError::Path("a\u{fffd}".to_owned())),
        own("nginх", ReferenceError::Path("nginх".to_owned())),
        own("https://x.example/a", ReferenceError::Registry("https:".to_owned())),
        own("x.example:/a", ReferenceError::Registry("x.example:".to_owned())),
        own("x.example:999999/a", ReferenceError::Registry("x.example:999999".to_owned())),
        own("a:", ReferenceError::Tag(String::new())),
        own("a:-x", ReferenceError::Tag("-x".to_owned())),
        own("a:b:c", ReferenceError::Path("a:b".to_owned())),
        own(&format!("{}a", "a/".repeat(300)), ReferenceError::TooLong),
        own(&format!("{}/a", "a".repeat(254)), ReferenceError::TooLong),
        digest(format!("a@sha256:{}", "A".repeat(64))),
        digest(format!("a@sha256:{hex}{hex}")),
        digest(format!("a@sha384:{}", "a".repeat(96))),
        digest(format!("a@md5:{}", "a".repeat(32))),
        digest(format!("a@gitCommit:{}", "a".repeat(40))),
        digest(format!("a@sha256:{hex}@sha256:{hex}")),
        digest("a@".to_owned()),
    ] {
        match Reference::parse(&given) {
            Err(found) if given.starts_with("a:b:c") => {
                assert!(matches!(found, ReferenceError::Path(_) | ReferenceError::Registry(_)))
            }
            found => assert_eq!(found, Err(error), "{given}"),
        }
    }
}
