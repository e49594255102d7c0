//! Every choke point beside Kubernetes', as somebody meets it who has never seen one: what is misspelt, missing, or another
//! thing than was meant. Nothing runs, nothing is signed, nothing is recorded, and nothing listens.

use std::fs;

use super::{Setting, is_clear};
use crate::tools::{code, expect, portcullis_in, stderr, stdout};

const GATE: &str =
    "--book book --trust-root deploy/trust-root.yaml --log log --log-key deploy/keys/log.key --origin o";
const POLICY: &str = "environment: release/apt\nartifact: shop/Release\nmode: enforce\nrequire:\n  \
                      signed-by: [release-desk]\non-outage: reject\n";
const PROXY: &str = "proxies:
  - name: files
    kind: put
    listen: 127.0.0.1:0
    tls: { certificate: tls/server.crt, key: tls/server.key }
    clients: { ca: tls/ca.crt, names: [ci.acme.example] }
    upstream: { url: \"https://store.internal:8443\", ca: tls/ca.crt, credentials: login }
    spool: spool
    as: files.example
    routes:
      - { names: [\"releases/*\"], environment: prod/files }
";
const SIGNING: &str = "signing:
  - name: apt
    form: openpgp
    key: release.key
    block: release.asc
    environments: [release/apt]
    names: [release.example]
";
const DECISIONS: &str = "decisions:
  names: [deployer.example]
  issuers:
    - { issuer: \"https://ci.example\", audience: a, algorithm: RS256, keys: { url: \"https://ci.example/k\" }, identity: sub,
        claims: { owner: acme } }
";

fn setting() -> Setting {
    let setting = Setting::new();
    fs::create_dir(setting.at("book")).unwrap();
    fs::write(setting.at("book/apt.yaml"), POLICY).unwrap();
    fs::write(setting.at("noise"), b"\xff\xfe no text").unwrap();
    let (key, block) = (setting.at("deploy/release"), setting.at("deploy/release.asc"));
    expect(0, &["keygen", &key, "--algorithm", "ed25519", "--no-passphrase"]);
    let of = format!("{key}.key");
    let block = block.trim_end_matches(".asc");
    expect(
        0,
        &["keygen", block, "--public-of", &of, "--form", "openpgp", "--user-id", "Shop <a@shop.example>"],
    );
    fs::write(setting.at("deploy/login"), "Bearer abc\n").unwrap();
    setting
}

/// The whole answer; twice, for people and for programs.
fn asked(setting: &Setting, words: &str, exit: i32, wanted: &[&str]) {
    let words: Vec<&str> = words.split_whitespace().collect();
    let output = portcullis_in(setting.dir.path(), &words);
    let text = stdout(&output) + &stderr(&output);
    assert_eq!(code(&output), exit, "{words:?}\n{text}");
    for word in wanted {
        assert!(text.contains(word), "{words:?}: wanted `{word}` in\n{text}");
    }
    is_clear(&text);
    // clap's own messages are not ours, and are text
    if text.contains("Usage: ") || text.contains("For more information, try") {
        return;
    }
    let mut words: Vec<&str> = words;
    words.splice(1..1, ["--format", "json"]);
    let output = portcullis_in(setting.dir.path(), &words);
    assert_eq!(code(&output), exit, "{words:?}");
    assert!(attest::json::parse(&output.stdout).is_ok(), "{words:?}: {}", stdout(&output));
}

#[test]
fn deploy_and_sign_say_what_they_want_before_anything_is_on_record() {
    let setting = setting();
    let rows: [(&str, &[&str]); 18] = [
        ("deploy --environment e GATE deploy -- cat {}", &["deploy is a folder", "--members or --install"]),
        (
            "deploy --environment e GATE missing -- cat {}",
            &["cannot read the artifact missing", "check the name"],
        ),
        ("deploy --environment e GATE shop", &["nothing says what to run", "behind `--`"]),
        ("deploy --environment e GATE shop cat {}", &["unexpected argument 'cat'"]),
        (
            "deploy --environment e GATE shop -- cat",
            &["nothing gives the command the verified bytes", "--stdin"],
        ),
        ("deploy --environment e shop -- cat {}", &["nothing says who decides", "--server URL"]),
        (
            "deploy --environment e --as u GATE --breakglass missing shop -- cat {}",
            &["cannot read the grant missing"],
        ),
        ("deploy --environment e --as u GATE --credential PW=x shop -- cat {}", &["NAME=file:PATH"]),
        (
            "deploy --environment e --as u --server http://127.0.0.1:1 shop -- cat {}",
            &["is no https:// address"],
        ),
        (
            "deploy --environment e --as u --server https://127.0.0.1:1 shop -- cat {}",
            &["cannot decide: the choke point https://127.0.0.1:1 cannot be reached", "nothing was done"],
        ),
        ("deploy --watch missing GATE", &["cannot read the configuration missing"]),
        ("deploy --watch noise GATE", &["the configuration noise is no text", "from byte 0"]),
        ("sign missing SIGN --form openpgp --key deploy/release.key", &["cannot read the file missing"]),
        ("sign deploy SIGN --form openpgp --key deploy/release.key", &["the file deploy is a folder"]),
        ("sign shop SIGN --form gpg --key deploy/release.key", &["openpgp-clear, minisign"]),
        ("sign shop SIGN --form openpgp --key deploy/release.key", &["--block FILE", "portcullis keygen"]),
        (
            "sign shop SIGN --form openpgp --key deploy/release.key --block noise",
            &["the OpenPGP key noise cannot be read", "the published key", "portcullis keygen"],
        ),
        (
            "sign shop --environment release/apt --form minisign --key apt --out OUT --as u --server https://127.0.0.1:1",
            &["cannot be reached, and it holds the key", "nothing was signed"],
        ),
    ];
    for (words, wanted) in rows {
        let sign = format!("--environment release/apt --as shop/Release --out OUT {GATE}");
        asked(&setting, &words.replace("GATE", GATE).replace("SIGN", &sign), 2, wanted);
        assert!(!setting.dir.path().join("OUT").exists(), "{words}: nothing is signed");
        assert!(!setting.dir.path().join("log/entries").exists(), "{words}");
    }
    let empty = "deploy --bring-spool --spool nowhere --server https://127.0.0.1:1 --book book --trust-root deploy/trust-root.yaml";
    let words: Vec<&str> = empty.split_whitespace().collect();
    let said = stdout(&portcullis_in(setting.dir.path(), &words));
    assert!(
        said.contains("there is no folder nowhere"),
        "a misspelt spool is not taken for an empty one: {said}"
    );
}

#[test]
fn threats_and_the_drill_say_what_is_wrong_with_what_they_are_given() {
    let setting = setting();
    let list = |text: &str| fs::write(setting.at("list"), text).unwrap();
    for (text, wanted) in [
        ("", "the file is empty"),
        ("threats:\n  - { id: A1, threat: x, mitigated-by: [built-bye] }\n", "write built-by"),
        ("threats:\n  - { id: A1, threat: x, mitigated: [built-by] }\n", "write `mitigated-by`"),
        (
            "threats:\n  - { id: T1, threat: x, mitigated-by: [built-by] }\n",
            "T1 is one of the chapter's threats",
        ),
    ] {
        list(text);
        asked(&setting, "threats --book book --list list", 2, &["error[threats-invalid]", "list:", wanted]);
    }
    asked(&setting, "threats --book book --list missing", 2, &["cannot read the list of threats missing"]);
    asked(&setting, "threats --book missing", 2, &["cannot read the book missing"]);
    asked(&setting, "threats --book book --config missing", 2, &["cannot read the configuration missing"]);
    asked(&setting, "drill --only T99", 2, &["there is no drill for `T99`", "T1, T2", "leave it out"]);
    asked(&setting, "drill --only T1 --keep deploy", 2, &["deploy is not empty", "name a new folder"]);
}

#[test]
fn a_proxy_of_another_kind_is_none_before_a_buckets_access_list() {
    let setting = setting();
    let file = setting.at("deploy/serve.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + PROXY).unwrap();
    let said = expect(0, &["threats", "--book", &setting.at("deploy/book"), "--config", &file]);
    let line = said.lines().find(|line| line.trim_start().starts_with("T6 ")).unwrap();
    assert!(line.ends_with("NOT mitigated"), "{line}");
}

#[test]
fn serve_says_what_is_wrong_with_proxies_signing_and_decisions() {
    let setting = setting();
    let (file, tried) = (setting.at("deploy/serve.yaml"), setting.at("deploy/tried.yaml"));
    let whole = fs::read_to_string(&file).unwrap() + PROXY + SIGNING + DECISIONS;
    fs::write(&tried, &whole).unwrap();
    let said = expect(0, &["serve", "--check", "--config", &tried]);
    assert!(said.contains("note: no policy guards prod/files"), "{said}");
    let rows: [(&str, &str, &[&str]); 20] = [
        ("proxies:", "proxys:", &["unknown key `proxys`", "write `proxies`"]),
        ("kind: put", "kind: docker", &["one of put, json, oci", "`docker`"]),
        ("    kind: put", "    kinds: put", &["write `kind`"]),
        ("credentials: login", "credential: login", &["write `credentials`"]),
        ("https://store.internal:8443", "ftp://store.internal", &["wanted https://HOST[:PORT]"]),
        (
            "    clients: { ca: tls/ca.crt, names: [ci.acme.example] }\n    up",
            "    up",
            &["nobody may come through this proxy", "`clients`, `issuers` or both; or `anonymous: true`"],
        ),
        (
            "    spool: spool\n",
            "    spool: spool\n    anonymous: true\n",
            &["`anonymous: true` together with those who may come", "remove `anonymous: true`"],
        ),
        ("environment: prod/files", "env: prod/files", &["write `environment`"]),
        (
            "tls/server.key }\n    clients",
            "tls/ci.key }\n    clients",
            &["error[proxy-invalid]", "cannot be used by the proxy files", "does not belong to the key"],
        ),
        (
            "clients: { ca: tls/ca.crt, names: [ci.acme.example] }\n    up",
            "clients: { ca: serve.yaml, names: [ci.acme.example] }\n    up",
            &["error[proxy-invalid]", "no certificate of an authority"],
        ),
        (
            "credentials: login",
            "credentials: tls/ci.key",
            &["error[proxy-invalid]", "as in `Basic …` or `Bearer …`"],
        ),
        ("    key: release.key", "    keys: release.key", &["write `key`"]),
        ("form: openpgp", "form: gpg", &["openpgp, minisign or cosign"]),
        ("form: openpgp\n", "form: minisign\n", &["`block` with form openpgp"]),
        (
            "block: release.asc",
            "block: serve.yaml",
            &["error[release-key-invalid]", "serve.yaml", "does not sign in the form"],
        ),
        (
            "form: openpgp\n    key: release.key\n    block: release.asc",
            "form: cosign\n    key: release.key",
            &["error[release-key-invalid]", "(wanted p256)"],
        ),
        ("key: release.key", "key: keys/log.key", &["it is the log's"]),
        ("  names: [deployer.example]", "  name: [deployer.example]", &["write `names`"]),
        (
            ",\n        claims: { owner: acme } }",
            " }",
            &["everybody with a token of https://ci.example may ask"],
        ),
        ("names: [deployer.example]", "names: [kube-apiserver]", &["one role for a name"]),
    ];
    for (old, new, wanted) in rows {
        assert!(whole.contains(old), "{old}");
        // only the new sections are changed
        let (head, tail) = whole.split_at(whole.find("proxies:").unwrap());
        fs::write(&tried, head.to_owned() + &tail.replacen(old, new, 1)).unwrap();
        asked(&setting, "serve --check --config deploy/tried.yaml", 2, wanted);
        asked(&setting, "serve --config deploy/tried.yaml", 2, wanted);
    }
    fs::write(&tried, whole.replace("key: release.key", "key: gone.key")).unwrap();
    let said = expect(1, &["serve", "--check", "--config", &tried]);
    assert_eq!(said.matches("gone.key").count(), 1, "what is missing is said once: {said}");

    let store = whole.replace("kind: put", "kind: s3\n    region: r\n    keys: nokeys");
    fs::write(&tried, store).unwrap();
    let said = expect(1, &["serve", "--check", "--config", &tried]);
    assert!(said.contains("missing: a proxy's key file for the store: there is no"), "{said}");
    asked(&setting, "serve --config deploy/tried.yaml", 2, &["a proxy's key file for the store is missing"]);
}
