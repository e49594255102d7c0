//! A choke point decides for the machine; while it is away, a person's grant does, and the choke point hears of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::tools::serving::Serving;
use crate::tools::{expect, path, portcullis_command};
use crate::world::{World, said};

struct Served {
    world: World,
}

impl Served {
    fn new() -> Self {
        let served = Self { world: World::new() };
        served.listen("127.0.0.1:0");
        served
    }

    fn at(&self, name: &str) -> PathBuf {
        self.world.at(name)
    }

    fn listen(&self, address: &str) {
        let config = format!(
            "book: ../book\ntrust-root: ../trust-root.yaml\nlog: {{ path: log, origin: portcullis.acme.example/prod, key: keys/log.key, spool: 16MiB }}\n\
             evidence: evidence\nstate: state\nreload: 1s\nmetrics: {{ listen: 127.0.0.1:0 }}\nattach: {{ names: [ci.acme.example] }}\n\
             alarms: {{ sinks: [{{ file: alarms.jsonl }}] }}\nwebhook:\n  listen: {address}\n  tls: {{ certificate: tls/server.crt, key: tls/server.key }}\n  \
             clients: {{ ca: tls/ca.crt }}\n  drain: 1s\ndecisions:\n  names: [ci.acme.example]\n"
        );
        fs::write(self.at("init/serve.yaml"), config).unwrap();
    }

    fn start(&self) -> Serving {
        Serving::start(&self.at("init/serve.yaml"))
    }

    fn command(&self, url: &str, name: &str, more: &[&str]) -> Command {
        let mut deploy = portcullis_command();
        deploy.current_dir(self.world.dir.path()).args(["deploy", name, "--as", "sql://orders/migrations"]);
        deploy.args(self.world.evidence(name)).args([
            "--environment",
            "prod/orders",
            "--stdin",
            "--server",
            url,
        ]);
        let tls = [("--ca", "ca.crt"), ("--client-certificate", "ci.crt"), ("--client-key", "ci.key")];
        for (flag, file) in tls.iter().filter(|(flag, _)| !more.contains(flag)) {
            deploy.arg(flag).arg(self.at(&format!("init/tls/{file}")));
        }
        deploy.args(more).args(["--", "sh", "-c", "cat >> ran"]);
        deploy
    }

    fn deploy(&self, exit: i32, url: &str, name: &str, more: &[&str]) -> String {
        said(exit, &self.command(url, name, more).output().unwrap())
    }

    fn ran(&self) -> String {
        fs::read_to_string(self.at("ran")).unwrap_or_default()
    }

    fn grant(&self, environment: &str, out: &str) {
        let (key, root, out) =
            (self.world.text("init/keys/bob.key"), self.world.text("trust-root.yaml"), self.world.text(out));
        let what = [
            "breakglass",
            "open",
            "--environment",
            environment,
            "--reason",
            "checkout is down",
            "--ticket",
            "INC-42",
        ];
        expect(
            0,
            &[&what[..], &["--expires", "1h", "--key", &key, "--trust-root", &root, "--out", &out]].concat(),
        );
    }

    fn waiting(&self) -> usize {
        fs::read_dir(self.at("spool/waiting")).map_or(0, Iterator::count)
    }
}

const SPOOL: [&str; 6] = ["--spool", "spool", "--book", "book", "--trust-root", "trust-root.yaml"];

#[test]
fn a_choke_point_decides_for_whoever_its_certificate_names() {
    let served = Served::new();
    let running = served.start();
    served.world.good("m.sql", b"SELECT 1;\n");
    let vault = served.world.vault("x", "");
    let text = served.deploy(0, &running.url, "m.sql", &["--credential", &vault]);
    assert!(text.contains("admit: sql://orders/migrations@sha256:") && text.contains("record: "), "{text}");
    assert_eq!((served.ran().as_str(), served.world.asked()), ("SELECT 1;\n", 1));
    // a dry run, a refusal, and what no policy says
    served.deploy(0, &running.url, "m.sql", &["--credential", &vault, "--dry-run"]);
    fs::write(served.at("m.sql"), "SELECT 2;\n").unwrap();
    let text = served.deploy(1, &running.url, "m.sql", &["--credential", &vault]);
    assert!(text.contains("error[evidence-applies]") && text.contains("reject: "), "{text}");
    // a grant and a spool change nothing where the choke point answers
    served.grant("prod/shop", "other.json");
    let text =
        served.deploy(1, &running.url, "m.sql", &[&SPOOL[..], &["--breakglass", "other.json"]].concat());
    assert!(text.contains("error[breakglass-grant]"), "{text}");
    assert_eq!((served.ran().as_str(), served.world.asked(), served.waiting()), ("SELECT 1;\n", 1, 0));
    // who it does not know, and what cannot be a decision
    let (key, certificate) =
        (served.world.text("init/tls/apiserver.key"), served.world.text("init/tls/apiserver.crt"));
    let text = served.deploy(
        2,
        &running.url,
        "m.sql",
        &["--client-certificate", &certificate, "--client-key", &key],
    );
    assert!(text.contains("kube-apiserver"), "{text}");
    let output = portcullis_command()
        .current_dir(served.world.dir.path())
        .args([
            "deploy",
            "m.sql",
            "--environment",
            "prod/orders",
            "--server",
            &running.url,
            "--ca",
            "init/tls/ca.crt",
            "--dry-run",
        ])
        .output()
        .unwrap();
    assert!(said(2, &output).contains("nothing says what the file is"));
    // with a grant that holds it is let in there
    served.grant("prod/orders", "grant.json");
    let text = served.deploy(0, &running.url, "m.sql", &["--breakglass", "grant.json"]);
    assert!(text.contains("warning: breakglass: ") && served.ran().ends_with("SELECT 2;\n"), "{text}");
}

#[test]
fn while_it_is_away_only_a_grant_lets_in_and_it_hears_of_it_once() {
    let served = Served::new();
    let running = served.start();
    let url = running.url.clone();
    assert_eq!(running.end(), 0);
    served.world.good("m.sql", b"SELECT 1;\n");
    served.grant("prod/orders", "grant.json");
    served.grant("prod/shop", "other.json");
    let with = |grant: &'static str| [&SPOOL[..], &["--breakglass", grant]].concat();
    // without all of it nothing goes on, although the policy is met
    for more in [
        vec![],
        SPOOL.to_vec(),
        vec!["--breakglass", "grant.json"],
        [with("grant.json"), vec!["--dry-run"]].concat(),
    ] {
        let text = served.deploy(2, &url, "m.sql", &more);
        assert!(
            text.contains("cannot decide: the choke point https://127.0.0.1:")
                && text.contains("nothing was done"),
            "{text}"
        );
    }
    let text = served.deploy(2, &url, "m.sql", &with("other.json"));
    assert!(text.contains("the grant does not hold"), "{text}");
    let digest = format!("sha256:{}", "ab".repeat(32));
    let text = served.deploy(2, &url, "m.sql", &[&SPOOL[..], &["--breakglass", &digest]].concat());
    assert!(text.contains("cannot be reached"), "{text}");
    assert_eq!((served.ran().as_str(), served.waiting()), ("", 0));

    served.world.built("fix.sql", b"UPDATE orders;\n", &[]);
    served.world.scanned("fix.sql", "fix.sql.scan.json", None);
    fs::write(served.at("review.json"), "noise").unwrap();
    let text = served.deploy(0, &url, "fix.sql", &with("grant.json"));
    assert!(
        text.contains("BREAKGLASS WITHOUT THE CHOKE POINT") && text.contains("Connection refused"),
        "{text}"
    );
    assert!(text.contains("by breakglass\n"), "{text}");
    assert_eq!((served.ran().as_str(), served.waiting()), ("UPDATE orders;\n", 1));
    expect(0, &["log", "verify", &served.world.text("spool/log")]);
    let shown = expect(0, &["log", "show", &served.world.text("spool/log")]);
    assert!(shown.contains("breakglass"), "{shown}");

    // it waits until the choke point has it
    let bring = |exit: i32| {
        let mut deploy = portcullis_command();
        deploy
            .current_dir(served.world.dir.path())
            .args(["deploy", "--bring-spool", "--server", &url])
            .args(SPOOL);
        let tls = [
            "--ca",
            "init/tls/ca.crt",
            "--client-certificate",
            "init/tls/ci.crt",
            "--client-key",
            "init/tls/ci.key",
        ];
        said(exit, &deploy.args(tls).output().unwrap())
    };
    assert!(bring(2).contains("what waits stays where it is"));
    assert_eq!(served.waiting(), 1);
    served.listen(url.strip_prefix("https://").unwrap());
    let running = served.start();
    assert_eq!(bring(0), "1 record is with the choke point now\n");
    assert_eq!(bring(0), "nothing waits\n");
    assert_eq!(served.waiting(), 0);
    running.event("\"kept\"");
    assert_eq!(running.end(), 0);
    let shown = expect(0, &["log", "show", path(&served.at("init/log")), "--format", "json"]);
    assert!(
        shown.contains("\"spooled\"") && shown.contains("breakglass") && shown.contains("alarm"),
        "{shown}"
    );
    assert!(shown.contains("\"grant_holds\": true") || shown.contains("\"grant_holds\":true"), "{shown}");
    // and the next deployment brings what waits by itself
    served.deploy(0, &url, "fix.sql", &with("grant.json"));
    assert_eq!(served.waiting(), 1);
    let running = served.start();
    served.deploy(1, &running.url, "fix.sql", &SPOOL);
    assert_eq!(served.waiting(), 0);
}

#[test]
fn what_answers_is_no_outage_whatever_it_answers() {
    let served = Served::new();
    let running = served.start();
    served.world.good("m.sql", b"SELECT 1;\n");
    served.grant("prod/orders", "grant.json");
    let with = [&SPOOL[..], &["--breakglass", "grant.json"]].concat();
    // an authority that does not vouch for it: somebody is in between, or the flag is wrong
    expect(0, &["init", &served.world.text("stranger")]);
    let ca = served.world.text("stranger/tls/ca.crt");
    let text = served.deploy(2, &running.url, "m.sql", &[&with[..], &["--ca", &ca]].concat());
    assert!(text.contains("cannot be used"), "{text}");
    // another address of the same choke point
    let text = served.deploy(2, &format!("{}/elsewhere", running.url), "m.sql", &with);
    assert!(text.contains("there is nothing at this address"), "{text}");
    assert_eq!((served.ran().as_str(), served.waiting()), ("", 0));
    // something before it that takes the connection and lets it go, as a balancer does whose servers are gone
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let text = served.deploy(0, &url, "m.sql", &with);
    assert!(text.contains("BREAKGLASS WITHOUT THE CHOKE POINT"), "{text}");
    assert_eq!(served.waiting(), 1);
    // a name that nobody resolves
    let text = served.deploy(0, "https://choke-point.invalid:8443", "m.sql", &with);
    assert!(text.contains("BREAKGLASS WITHOUT THE CHOKE POINT"), "{text}");
    assert_eq!(served.waiting(), 2);
}

#[test]
fn who_is_there_and_says_nothing_is_no_outage_and_who_is_not_there_is_one() {
    let served = Served::new();
    served.world.good("m.sql", b"SELECT 1;\n");
    served.grant("prod/orders", "grant.json");
    // it has proven who it is, and may be deciding
    let (key, certificate) =
        (served.world.text("init/tls/server.key"), served.world.text("init/tls/server.crt"));
    let mut silent = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-cert", &certificate, "-key", &key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(silent.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.starts_with("ACCEPT ")).unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    // nobody speaks here
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let begin = |address: &str, spool: &str| {
        let more = ["--breakglass", "grant.json", "--spool", spool, "--book", "book", "--trust-root"];
        let more = [&more[..], &["trust-root.yaml"]].concat();
        let mut command = served.command(&format!("https://{address}"), "m.sql", &more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let there = begin(line.trim_start_matches("ACCEPT "), "spool");
    let nobody = begin(&listener.local_addr().unwrap().to_string(), "other");
    let text = said(2, &there.wait_with_output().unwrap());
    silent.kill().unwrap();
    silent.wait().unwrap();
    assert!(text.contains("cannot be used") && text.contains("no answer within"), "{text}");
    let text = said(0, &nobody.wait_with_output().unwrap());
    assert!(text.contains("BREAKGLASS WITHOUT THE CHOKE POINT") && text.contains("no connection"), "{text}");
    assert_eq!((served.ran().as_str(), served.waiting()), ("SELECT 1;\n", 0));
}

#[test]
fn what_a_grant_let_in_on_a_node_is_brought_too() {
    let served = Served::new();
    let policy = fs::read_to_string(served.at("book/prod/shop.yaml")).unwrap();
    let policy = policy.replace("prod/shop", "prod/web").replace("pkg:generic/shop", "r.example/web");
    fs::write(served.at("book/prod/web.yaml"), policy).unwrap();
    served.grant("prod/web", "grant.json");
    evidence::Store::new(&served.at("evidence"))
        .put_grant(&fs::read(served.at("grant.json")).unwrap())
        .unwrap();
    let config = "book: book\ntrust-root: trust-root.yaml\nevidence: evidence\nspool: spool\n\
                  environments:\n  - { environment: prod/web, images: [r.example/web] }\n";
    let config = node::config::Config::parse(&served.at("node.yaml"), config).unwrap();
    let ask = node::ask::Ask { name: "r.example/web:1".to_owned(), digest: attest::Digest::sha256(b"web") };
    let files = node::check::Files::load(&config).unwrap();
    #[allow(clippy::disallowed_methods, reason = "a test's own clock")]
    let now = jiff::Timestamp::now();
    let answer = node::check::check(&config, &files, &ask, "node-1", now);
    assert!(answer.is_taken, "{}", answer.text);
    assert_eq!(served.waiting(), 1);

    let running = served.start();
    let mut bring = portcullis_command();
    bring.current_dir(served.world.dir.path()).args([
        "deploy",
        "--bring-spool",
        "--spool",
        "spool",
        "--server",
    ]);
    bring.arg(&running.url).args(["--ca", "init/tls/ca.crt", "--client-certificate", "init/tls/ci.crt"]);
    bring.args(["--client-key", "init/tls/ci.key"]);
    assert_eq!(said(0, &bring.output().unwrap()), "1 record is with the choke point now\n");
    assert_eq!(served.waiting(), 0);
    assert_eq!(running.end(), 0);
    let log = served.at("init/log");
    let shown = expect(0, &["log", "show", path(&log), "--kind", "spooled", "--format", "json"]);
    for word in ["node/node-1", "prod/web", "r.example/web", "\"grant_holds\":true"] {
        assert!(shown.replace(": ", ":").contains(word), "{word}: {shown}");
    }
    let shown = expect(0, &["log", "show", path(&log), "--kind", "alarm", "--format", "json"]);
    assert!(shown.contains("breakglass-away"), "{shown}");
}

#[test]
fn a_login_in_what_a_grant_let_in_waits_nowhere_and_the_record_is_brought_all_the_same() {
    let served = Served::new();
    let running = served.start();
    let url = running.url.clone();
    assert_eq!(running.end(), 0);
    let policy = fs::read_to_string(served.at("book/prod/shop.yaml")).unwrap();
    let policy = policy.replace("prod/shop", "prod/web").replace("pkg:generic/shop", "https://*/web");
    fs::write(served.at("book/prod/web.yaml"), policy).unwrap();
    served.grant("prod/web", "grant.json");
    fs::write(served.at("m.sql"), "SELECT 1;\n").unwrap();
    let mut deploy = portcullis_command();
    deploy.current_dir(served.world.dir.path()).args(["deploy", "m.sql", "--as"]);
    deploy.args([
        "https://ci:hunter2@r.example/web",
        "--environment",
        "prod/web",
        "--stdin",
        "--server",
        &url,
    ]);
    let tls = ["init/tls/ca.crt", "init/tls/ci.crt", "init/tls/ci.key"];
    let flags = ["--ca", "--client-certificate", "--client-key"];
    for (flag, file) in flags.iter().zip(tls) {
        deploy.args([flag, file]);
    }
    deploy.args(SPOOL).args(["--breakglass", "grant.json", "--", "cat"]);
    said(0, &deploy.output().unwrap());
    let waits = || {
        let file = fs::read_dir(served.at("spool/waiting")).unwrap().next().unwrap().unwrap();
        (file.path(), fs::read_to_string(file.path()).unwrap())
    };
    let (file, text) = waits();
    assert!(text.contains("https://[redacted]@r.example/web") && !text.contains("hunter2"), "{text}");
    // as an older version wrote it
    fs::write(&file, text.replace("[redacted]", "ci:hunter2")).unwrap();
    served.listen(url.strip_prefix("https://").unwrap());
    let running = served.start();
    let mut bring = portcullis_command();
    bring
        .current_dir(served.world.dir.path())
        .args(["deploy", "--bring-spool", "--server", &url])
        .args(SPOOL);
    for (flag, file) in flags.iter().zip(tls) {
        bring.args([flag, file]);
    }
    assert_eq!(said(0, &bring.output().unwrap()), "1 record is with the choke point now\n");
    assert_eq!(served.waiting(), 0);
    assert_eq!(running.end(), 0);
    let shown = expect(0, &["log", "show", path(&served.at("init/log")), "--format", "json"]);
    assert!(shown.contains("\"spooled\"") && !shown.contains("hunter2"), "{shown}");
}
