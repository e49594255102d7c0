//! Every reader of what others wrote, with a file that is missing, a folder, noise, and nothing in a file.

use std::fs;

use attest::Digest;

use super::{Setting, is_clear};
use crate::tools::{code, portcullis_in, stderr, stdout};

/// A command with a row of bad input: for each file in its place the exit code, and a word of the answer.
type Row<'a> = (&'a str, [(i32, &'a str); 4]);

/// Each new reader with a file that is missing, a folder, noise, and nothing in a file.
#[test]
fn every_reader_of_what_others_wrote_says_what_is_wrong_with_it() {
    let setting = Setting::new();
    fs::write(setting.at("noise"), (0..=255).cycle().skip(128).take(5000).collect::<Vec<u8>>()).unwrap();
    fs::write(setting.at("empty"), b"").unwrap();
    for folder in ["folder", "vet"] {
        fs::create_dir(setting.at(folder)).unwrap();
    }
    for file in ["audits.toml", "config.toml"] {
        fs::write(setting.dir.path().join("vet").join(file), b"").unwrap();
    }
    let (missing, folder) = ((2, "cannot read"), (2, "is a folder"));
    let utf8 = (2, "from byte 0");
    let rows: [Row<'_>; 17] = [
        (
            "layout verify FILE --key K.pub --links folder",
            [missing, folder, (2, "the layout"), (2, "too early")],
        ),
        ("layout translate FILE --out OUT", [missing, folder, (2, "the layout"), (2, "too early")]),
        ("binauthz translate FILE --out OUT", [missing, folder, utf8, (2, "the file is empty")]),
        ("binauthz open FILE --trust-root ROOT", [missing, folder, (1, "the occurrence"), (1, "too early")]),
        (
            "import fetch pkg:cargo/a@1 --from FILE --sha256 DIGEST --store OUT",
            [missing, folder, (1, "not what was declared"), (1, "not what was declared")],
        ),
        (
            "import diff pkg:cargo/a@1 --store FILE",
            [
                (2, "there is no store"),
                (2, "was not taken in"),
                (2, "there is no store"),
                (2, "there is no store"),
            ],
        ),
        (
            "import review pkg:cargo/a@1 --sha256 DIGEST --reviewer b --approve --key K.key --out OUT --store FILE",
            [
                (2, "there is no store"),
                (2, "was not taken in"),
                (2, "there is no store"),
                (2, "there is no store"),
            ],
        ),
        (
            "attest import --from-cargo-vet FILE --lock empty --key K.key --out OUT",
            [missing, missing, missing, missing],
        ),
        (
            "attest import --from-cargo-vet vet --lock FILE --key K.key --out OUT",
            [missing, folder, utf8, (2, "no list of packages")],
        ),
        (
            "attest review --from-github FILE --key K.key --out OUT",
            [missing, folder, (2, "no review"), (2, "no review")],
        ),
        (
            "attest scan shop --from-sarif FILE --key K.key --out OUT",
            [missing, folder, (2, "no output of SARIF"), (2, "no output of SARIF")],
        ),
        ("git-hook pre-receive --config FILE", [missing, folder, utf8, (2, "the file is empty")]),
        ("trust-root sigstore add ROOT acme --from FILE", [missing, folder, utf8, (2, "cannot be read")]),
        (
            "trust-root sigstore add ROOT acme --tuf http://127.0.0.1:1 --root FILE",
            [missing, folder, utf8, (2, "no trusted root was obtained")],
        ),
        (
            "summary issue --log FILE --record 0 --key K.key --verifier https://gate.example --out OUT",
            [missing, missing, missing, missing],
        ),
        (
            "attach 127.0.0.1:1/shop@sha256:DIGEST --bundle FILE --registry",
            [missing, folder, (1, "is no bundle"), (1, "is no bundle")],
        ),
        (
            "verify 127.0.0.1:1/shop@sha256:DIGEST --registry --docker-config FILE --environment prod/shop --book BOOK \
          --trust-root ROOT",
            [missing, folder, utf8, (2, "cannot be used")],
        ),
    ];
    for (words, answers) in rows {
        for (file, (exit, word)) in ["missing", "folder", "noise", "empty"].into_iter().zip(answers) {
            is_refused(&setting, &words.replace("FILE", file), exit, word);
        }
    }
}

fn is_refused(setting: &Setting, words: &str, exit: i32, word: &str) {
    let digest = Digest::sha256(&fs::read(setting.at("shop")).unwrap()).hex();
    let words = words.replace("DIGEST", &digest).replace("ROOT", "deploy/trust-root.yaml");
    let words = words.replace("BOOK", "deploy/book").replace("K.", "deploy/keys/ci-tests.");
    let output = portcullis_in(setting.dir.path(), &words.split_whitespace().collect::<Vec<_>>());
    let text = stdout(&output) + &stderr(&output);
    assert_eq!(code(&output), exit, "{words}\n{text}");
    assert!(text.contains(word), "{words}: wanted `{word}` in\n{text}");
    is_clear(&text);
    assert!(!setting.dir.path().join("OUT").is_file(), "{words}: nothing is half-written");
}
