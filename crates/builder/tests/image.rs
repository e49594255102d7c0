//! Image targets in a build definition: everything wrong has its place and a way out.

use builder::BuildDefinition;

const SHA: &str = "9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c";

fn inputs() -> String {
    let input = |name: &str| {
        format!("  - {{ uri: \"build:{name}\", sha256: \"{SHA}\", name: {name}, built-by: ci }}\n")
    };
    format!("inputs:\n{}{}", input("shop"), input("base.oci.tar"))
}

fn target(body: &str) -> String {
    format!("{}targets:\n  shop-image: {{ {body} }}\n", inputs())
}

fn image(body: &str) -> String {
    target(&format!("image: {{ {body} }}, outputs: [shop.oci.tar]"))
}

#[test]
fn an_image_is_read_whole_and_needs_no_toolchain() {
    let text = format!(
        "{}tests:\n  smoke: {{ image: true, command: [/usr/bin/shop, --version] }}\ntargets:\n  shop-image:\n    image:\n      base: base.oci.tar\n      files:\n        usr/bin/shop: shop\n      executable: [usr/bin/shop]\n      entrypoint: [/usr/bin/shop]\n      cmd: []\n      environment: {{ MODE: prod }}\n      user: \"1000:1000\"\n      labels: {{ org.opencontainers.image.title: shop }}\n      workdir: /\n      platform: linux/arm64\n    outputs: [shop.oci.tar]\n    tests: [smoke]\n",
        inputs()
    );
    let definition = BuildDefinition::parse("portcullis.build.yaml", &text).unwrap();
    let target = definition.target("shop-image").unwrap();
    let image = target.image.as_ref().unwrap();
    assert_eq!(image.base.as_ref().unwrap().0, "base.oci.tar");
    assert!(
        image.files[0].is_executable
            && image.files[0].input == "shop"
            && image.files[0].path == "usr/bin/shop"
    );
    assert_eq!((image.cmd.as_deref(), image.user.as_deref()), (Some([].as_slice()), Some("1000:1000")));
    assert_eq!((image.platform.as_str(), image.workdir.as_deref()), ("linux/arm64", Some("/")));
    assert!(image.holds("shop") && image.holds("base.oci.tar") && !image.holds("other"));
    assert_eq!(target.action.command[..2], ["portcullis", "image"]);
    assert!(definition.test("smoke").unwrap().is_in_image);
}

#[test]
fn everything_wrong_has_its_place_and_a_way_out() {
    for (text, word, at) in [
        (image("files: { usr/bin/shop: shpo }"), "no input `shpo`", "shpo"),
        (image("base: base.tar, files: { a: shop }"), "no input `base.tar`", "base.tar"),
        (image("files: { /usr/bin/shop: shop }"), "no path in an image", "/usr/bin/shop:"),
        (image("files: { ../shop: shop }"), "no path in an image", "../shop"),
        (image("files: { a/../../shop: shop }"), "no path in an image", "a/../../shop"),
        (image("files: { a/.wh.b: shop }"), "no path in an image", "a/.wh.b"),
        (image("files: { a: shop, a: shop }"), "stands twice", "a: shop }"),
        (image("files: { a: shop, a/b: shop }"), "cannot both be there", "a/b"),
        (image("files: { a/b: shop, a: shop }"), "cannot both be there", "a: shop }"),
        (image("files: {}"), "at least one file", "{}"),
        (image("entrypoint: [/a]"), "`files`", "{ entrypoint"),
        (image("files: { a: shop }, executable: [b]"), "none of the image's files", "b]"),
        (image("files: { a: shop }, entrypoint: /a"), "a list", "/a"),
        (image("files: { a: shop }, ports: [80]"), "unknown key `ports`", "ports"),
        (image("files: { a: shop }, user: \"a b\""), "a user", "\"a b\""),
        (image("files: { a: shop }, workdir: srv"), "a path from the root", "srv"),
        (image("files: { a: shop }, workdir: /a/../b"), "a path from the root", "/a/../b"),
        (image("files: { a: shop }, platform: windows/amd64"), "a platform", "windows"),
        (image("files: { a: shop }, platform: linux"), "a platform", "linux"),
        (image("files: { a: shop }, environment: { \"A B\": x }"), "name of a variable", "\"A B\""),
        (image("files: { a: shop }, environment: { API_TOKEN: x }"), "looks like a secret", "x }"),
        (image("files: { a: shop }, labels: { \"a b\": x }"), "name of a label", "\"a b\""),
        (image("files: { a: shop }, cmd: [\"https://bob:pw@h.example/\"]"), "looks like a secret", "\"https"),
        (target("image: { files: { a: shop } }, outputs: [a, b]"), "one output", "[a, b]"),
        (target("image: { files: { a: shop } }"), "`outputs`", "{ image"),
        (
            target("image: { files: { a: shop } }, command: [m], outputs: [a]"),
            "`command` is for a command",
            "[m]",
        ),
        (target("image: { files: { a: shop } }, time: 5m, outputs: [a]"), "`time` is for a command", "5m"),
        (target("command: [portcullis, image, \"{}\"], outputs: [a]"), "no command ran", "[portcullis"),
        (target("command: [m], outputs: [a]"), "`toolchain`", "inputs:"),
    ] {
        let errors = BuildDefinition::parse("portcullis.build.yaml", &text).unwrap_err();
        let found = errors.iter().find(|e| format!("{e:?}").contains(word));
        let found = found.unwrap_or_else(|| panic!("{word}: {errors:?}\n{text}"));
        let before = &text[..text.rfind(at).unwrap()];
        let (line, column) =
            (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap().len() + 1);
        assert_eq!((found.place.line, found.place.column), (line, column), "{word}: {found}\n{text}");
        assert!(found.fix.is_some(), "{found}");
    }
}

#[test]
fn a_near_miss_is_named() {
    let errors =
        BuildDefinition::parse("f", &image("files: { usr/bin/shop: shpo }, executable: [usr/bin/shpo]"))
            .unwrap_err();
    let text: String = errors.iter().map(|e| format!("{e:?}")).collect();
    assert!(text.contains("write `shop`") && text.contains("write `usr/bin/shop`"), "{text}");
}

#[test]
fn a_test_in_an_image_is_for_targets_that_make_one() {
    let toolchain = format!("toolchain: {{ uri: t, sha256: \"{SHA}\" }}\n");
    let tests = "tests:\n  smoke: { image: true, command: [/shop] }\n  unit: { command: [make, test] }\n";
    let command = "targets:\n  shop: { command: [make], outputs: [shop], tests: [smoke] }\n";
    let errors = BuildDefinition::parse("f", &format!("{toolchain}{tests}{command}")).unwrap_err();
    assert!(errors[0].message.contains("runs in an image, and this target makes none"), "{errors:?}");
    assert_eq!((errors[0].place.line, errors[0].place.column), (6, 53));
    // what runs in the toolchain needs one
    let image = "targets:\n  i: { image: { files: { a: shop } }, outputs: [a.tar], tests: [unit] }\n";
    let errors = BuildDefinition::parse("f", &format!("{}{tests}{image}", inputs())).unwrap_err();
    assert!(errors[0].message.contains("`toolchain`"), "{errors:?}");
    BuildDefinition::parse("f", &format!("{toolchain}{}{tests}{image}", inputs())).unwrap();
}
