use super::*;

#[test]
fn what_would_be_published_is_looked_at_closely() {
    for (name, value) in [
        ("DB_PASSWORD", "x"),
        ("api_key", "x"),
        ("npm-token", "x"),
        ("", "https://bob:x@h.example/"),
        ("", "--password=x"),
        ("", "ghp_0123456789abcdefghij"),
        ("", "curl -H 'X: glpat-0123456789abcdefghij'"),
        ("", "AKIAIOSFODNN7EXAMPLE"),
        ("", "-----BEGIN EC PRIVATE KEY-----"),
        ("", "https://h.example/x?private_token=hunter2"),
        ("", "DB_PASSWORD=hunter2"),
        ("", "x-ghp_0123456789abcdefghij"),
    ] {
        assert!(is_secret(name, value), "{name}={value}");
    }
    for (name, value) in [
        ("TOKENIZERS_PARALLELISM", "false"),
        ("DB_PASSWORD", ""),
        ("", "npm_config_cache"),
        ("", "AKIA"),
        ("MODE", "release"),
        ("", "https://h.example/a@b"),
        ("KEY", "value"),
    ] {
        assert!(!is_secret(name, value), "{name}={value}");
    }
}

#[test]
fn an_option_that_says_what_follows_is_believed() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert!(has_secret(&words("curl --password hunter2")) && has_secret(&words("make DB_PASSWORD=x")));
    assert!(!has_secret(&words("make --jobs 2")) && !has_secret(&words("--token")));
}

#[test]
fn secrets_of_every_shape_are_gone_and_the_rest_stays() {
    let text = r#"{"kind":"Pod","spec":{"containers":[{"image":"shop","args":["--debug","--db-password=hunter2"],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{hunter2}"},"headers":{"Authorization":"hunter2"},
        "env":[{"name":"DB_PASSWORD","value":"hunter2"},{"name":"MODE","value":"prod"}]}],
        "volumes":[{"secret":{"secretName":"hunter2"}}],"url":"https://bob:hunter2@db.example/x",
        "auth":"Bearer hunter2","k":"-----BEGIN PRIVATE KEY-----\nhunter2"},
        "list":[{"kind":"Secret","data":{"a":"hunter2","b":{"c":7}}}]}"#;
    let mut value = crate::json::parse(text.as_bytes()).unwrap();
    redact(&mut value);
    let out = value.to_string();
    assert!(!out.contains("hunter2"), "{out}");
    for kept in ["shop", "--debug", "MODE", "prod", "DB_PASSWORD", "db.example/x"] {
        assert!(out.contains(kept), "{kept} in {out}");
    }
    let mut again = value.clone();
    redact(&mut again);
    assert_eq!(again, value, "redacting twice changes nothing: replay sees the same case");
}

fn shown(text: &str) -> String {
    let mut value = Json::from(text);
    redact(&mut value);
    value.as_str().unwrap().to_owned()
}

#[test]
fn a_pod_keeps_its_shape_and_loses_its_secrets() {
    let text = r#"{"kind":"Pod","metadata":{"uid":"0d2b9f0e-6c1c-4f6e-9d3b-3f1f0a7c2b11","annotations":{
        "portcullis.dev/evidence-digest":"sha256:DIGEST,sha256:DIGEST"}},"spec":{
        "initContainers":[{"env":[{"name":"PGPASS","value":"hunter2"},{"name":"X","value":"user:hunter2@tcp(db)/x"}]}],
        "ephemeralContainers":[{"env":[{"name":"ENCRYPTION_KEY","value":"hunter2"},{"name":"SENTRY_DSN","value":"hunter2"}]}],
        "containers":[{"name":"web","image":"registry.example:5000/shop:1@sha256:DIGEST",
            "env":[{"name":"MODE","value":"prod"},{"name":"REDIS_AUTH","value":"hunter2"},
                {"name":"PUBLIC_KEY","value":"readable"},
                {"name":"DB","valueFrom":{"secretKeyRef":{"name":"shop-db","key":"main"}}}],
            "command":["sh","-c","DB_PASSWORD=hunter2 run --port 80"],
            "args":["--password","hunter2","--port","8080","-p","9090","--encryption-key=hunter2 hunter2","--token","--token","hunter2"]}]},
        "status":{"containerStatuses":[{"imageID":"docker-pullable://shop@sha256:DIGEST"}]}}"#
        .replace("DIGEST", &"0123456789abcdef".repeat(4));
    let mut value = crate::json::parse(text.as_bytes()).unwrap();
    redact(&mut value);
    let out = value.to_string();
    assert!(!out.contains("hunter2"), "{out}");
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let image = format!("\"registry.example:5000/shop:1@{digest}\"");
    let id = format!("\"docker-pullable://shop@{digest}\"");
    let evidence = format!("\"{digest},{digest}\"");
    for kept in [
        image.as_str(),
        &id,
        &evidence,
        "0d2b9f0e-6c1c-4f6e-9d3b-3f1f0a7c2b11",
        "\"readable\"",
        "shop-db",
        "\"main\"",
        "\"prod\"",
        "[redacted]@tcp(db)/x",
        "DB_PASSWORD=[redacted] run --port 80",
        r#"["--password","[redacted]","--port","8080","-p","9090","--encryption-key=[redacted]","--token","--token","[redacted]"]"#,
    ] {
        assert!(out.contains(kept), "{kept} in {out}");
    }
}

#[test]
fn only_the_secret_goes_out_of_a_text() {
    for (text, wanted) in [
        ("PGPASS='a b' run", "PGPASS=[redacted] run"),
        ("export A_TOKEN=a\\ b; run", "export A_TOKEN=[redacted]; run"),
        ("mysql --password \"a b\" db", "mysql --password [redacted] [redacted] db"),
        ("curl -H 'Authorization: Basic abc' h", "curl -H 'Authorization: Basic [redacted] h"),
        ("curl -H \"X-Api-Key: abc\" h", "curl -H \"X-Api-Key: [redacted] h"),
        ("u:p/w@tcp(db:3306)/x?a=b@c", "[redacted]@tcp(db:3306)/x?a=b@c"),
        ("--store=u:p@db:5432/x", "--store=[redacted]@db:5432/x"),
        ("u:p@unix(/run/db)/x", "[redacted]@unix(/run/db)/x"),
        ("amqp://u:p@a,amqp://u:p@b", "amqp://[redacted]@a,amqp://[redacted]@b"),
        ("postgres://u:p/w@db/x", "postgres://[redacted]@db/x"),
        ("see https://u:p@h/x or not", "see https://[redacted]@h/x or not"),
        ("https://h.example/x?private_token=abc&y=1", "https://h.example/x?private_token=[redacted]&y=1"),
        ("Server=h;Password=abc;Port=1", "Server=h;Password=[redacted];Port=1"),
        (r#"{"password": "a\"b","user":"bob"}"#, r#"{"password": "[redacted]","user":"bob"}"#),
        ("run ghp_0123456789abcdefghij now", "run [redacted] now"),
        ("id AKIAIOSFODNN7EXAMPLE;", "id [redacted];"),
    ] {
        assert_eq!(shown(text), wanted, "{text}");
    }
}

#[test]
fn what_is_no_secret_stays_readable() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    for text in [
        format!("shop:1@{digest}"),
        format!("docker-pullable://registry.example:5000/shop@{digest}"),
        digest,
        "oidc:bob@example.com".to_owned(),
        "system:serviceaccount:shop:web".to_owned(),
        "git@github.com:shop/web".to_owned(),
        "https://h.example:8080/a@b".to_owned(),
        "mkdir -p /var/run && serve -p 80 --port 80".to_owned(),
        "key=value:NoSchedule".to_owned(),
        "H4sIAAAAAAAAA6tWSi4tKsrMTVWyUlBKLErOyCxLVaoFAGv0wDYVAAAA==".to_owned(),
        "--token".to_owned(),
        REDACTED.to_owned(),
    ] {
        assert_eq!(shown(&text), text);
    }
}

const PIECES: [&str; 40] = [
    "--password",
    "=",
    " ",
    "x",
    "\"",
    "'",
    ":",
    "@",
    "://",
    "/",
    "tcp(",
    ")",
    "\\",
    "\n",
    "DB_PASSWORD",
    "PGPASS",
    "user",
    "bearer ",
    "Basic ",
    "ghp_0123456789abcdef",
    "[redacted]",
    ";",
    "&",
    ",",
    "?",
    "#",
    "\":",
    "{",
    "[",
    "]",
    "sha256:",
    "5432",
    "-",
    "_",
    ".",
    "KEY",
    "é",
    "AKIAIOSFODNN7EXAMPLE",
    "Authorization:",
    "--",
];

/// A small generator, always the same.
fn generator() -> impl FnMut(usize) -> usize {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |bound| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % bound
    }
}

#[test]
fn what_is_not_looked_at_closely_would_not_change() {
    let (mut next, mut plain) = (generator(), 0);
    for _ in 0..40_000 {
        let text = (0..=next(4)).map(|_| PIECES[next(PIECES.len())]).collect::<String>();
        if text::is_plain(&text) {
            plain += 1;
            assert_eq!(text::round(&text), text);
        }
    }
    assert!(plain > 4_000, "{plain} of them");
    for text in ["a\u{b}b", "a\u{a0}b", "Bearer x", "u:p@h/", "a=b", "\"a\":", &"ghp_".repeat(5)] {
        assert!(!text::is_plain(text), "{text:?}");
    }
}

#[test]
fn words_are_found_wherever_and_however_they_are_written() {
    let mut next = generator();
    for _ in 0..20_000 {
        let name: String = (0..=next(3))
            .map(|_| ["x", "Key", "API_", "pass", "Wd", "t", "o", "KEN", "é", "@"][next(10)])
            .collect();
        let lower = name.to_ascii_lowercase();
        assert_eq!(has_secret_word(&name), SECRET_WORDS.iter().any(|word| lower.contains(word)), "{name}");
    }
    assert!(WHOLE_WORDS.iter().all(|word| holds_one(word, &PARTS)), "each is looked for");
}

/// Texts and objects out of the pieces that the rules look at, in every order the generator comes up with.
#[test]
fn redacting_twice_is_redacting_once() {
    let mut next = generator();
    for _ in 0..8_000 {
        let mut text = || (0..=next(9)).map(|_| PIECES[next(PIECES.len())]).collect::<String>();
        let items = Json::Array((0..4).map(|_| Json::from(text())).collect());
        let entry = Object::new().with("name", text()).with("value", text());
        let key = text();
        let mut once = Json::from(Object::new().with("args", items).with("env", vec![entry]));
        if let Json::Object(object) = &mut once {
            object.set(&key, text());
        }
        redact(&mut once);
        let mut twice = once.clone();
        redact(&mut twice);
        assert_eq!(once.to_string(), twice.to_string());
        let read = crate::json::parse(once.to_string().as_bytes()).unwrap();
        assert_eq!(read, once);
    }
}

#[test]
fn a_long_text_of_anything_is_read_in_one_go() {
    // a test that is quadratic here does not come back within the time of a build
    for piece in ["@", "a:@", "://", "u:p@", "PASS=", "\":", "--password ", "'", "@a("] {
        shown(&piece.repeat(200_000 / piece.len()));
        shown(&format!("a:{}", piece.repeat(200_000 / piece.len())));
    }
}
