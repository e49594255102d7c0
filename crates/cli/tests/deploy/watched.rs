//! The agent: what the pointer names is decided about, switched to and looked after; going back is a decision too; and it
//! may be killed at any moment.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attest::Digest;

use crate::tools::{expect, portcullis_command};
use crate::world::World;

struct Agent<'a> {
    world: &'a World,
    child: Child,
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Releases in `in/`, of which `NAME` says `NAME` in its file `version`; well are those that the file `well` has.
fn world(names: &[&str]) -> World {
    let world = World::new();
    fs::create_dir(world.at("in")).unwrap();
    for name in names {
        fs::create_dir(world.at(&format!("{name}.d"))).unwrap();
        fs::write(world.at(&format!("{name}.d/version")), name).unwrap();
        fs::write(world.at(&format!("{name}.d/filler")), vec![b'x'; 1 << 20]).unwrap();
        let mut tar = Command::new("tar");
        tar.args(["-cf", &world.text(name), "--mtime=@0", "-C"]).arg(world.at(&format!("{name}.d")));
        assert!(tar.arg(".").status().unwrap().success());
        world.vouched(name);
        for file in [(*name).to_owned(), format!("{name}.sigstore.json"), format!("{name}.scan.json")] {
            fs::copy(world.at(&file), world.at("in").join(&file)).unwrap();
        }
    }
    fs::copy(world.at("review.json"), world.at("in/review.json")).unwrap();
    fs::write(world.at("well"), names.join("\n")).unwrap();
    let config = "environment: prod/orders\nartifact: sql://orders/migrations\npointer: in/now.json\nevery: 1s\ninstall: srv\n\
                  restart: [sh, -c, 'cat current/version >> ../started; echo >> ../started']\n\
                  healthy: { command: [sh, -c, 'grep -qx \"$(cat current/version)\" ../well'], within: 1s }\n";
    fs::write(world.at("watch.yaml"), config).unwrap();
    world
}

fn digest(world: &World, name: &str) -> Digest {
    Digest::sha256(&fs::read(world.at(name)).unwrap())
}

fn point(world: &World, name: &str) {
    let bundles = format!("\"{name}.sigstore.json\", \"review.json\", \"{name}.scan.json\"");
    let text = format!(
        "{{\"artifact\": \"{name}\", \"digest\": \"{}\", \"bundles\": [{bundles}]}}",
        digest(world, name)
    );
    fs::write(world.at("in/next.json"), text).unwrap();
    fs::rename(world.at("in/next.json"), world.at("in/now.json")).unwrap();
}

fn start(world: &World) -> Agent<'_> {
    let mut command = portcullis_command();
    command.current_dir(world.dir.path()).args(["deploy", "--watch", "watch.yaml"]).args(world.gate());
    let heard = File::options().create(true).append(true).open(world.at("heard")).unwrap();
    let child =
        command.stdout(heard.try_clone().unwrap()).stderr(heard).stdin(Stdio::null()).spawn().unwrap();
    Agent { world, child }
}

impl Agent<'_> {
    fn heard(&self) -> String {
        let mut text = String::new();
        File::open(self.world.at("heard")).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn until(&self, what: &str) {
        self.wait(what, || self.heard().contains(what));
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(60), "no {what} in {}", self.heard());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What `current` leads to, which is whole whenever somebody looks.
fn current(world: &World) -> String {
    let link = fs::read_link(world.at("srv/current")).unwrap();
    assert_eq!(fs::metadata(world.at("srv").join(&link).join("filler")).unwrap().len(), 1 << 20);
    let version = fs::read_to_string(world.at("srv").join(&link).join("version")).unwrap();
    assert_eq!(link.to_str().unwrap(), format!("releases/{}", digest(world, &version).hex()));
    version
}

#[test]
fn a_release_that_is_not_well_goes_back_by_a_decision_of_its_own() {
    let world = world(&["one", "two", "three"]);
    point(&world, "one");
    let agent = start(&world);
    agent.until(&format!("{} runs", digest(&world, "one")));
    assert_eq!(current(&world), "one");
    // a bad one: switched to, found to be bad, and gone back from
    fs::write(world.at("well"), "one\nthree").unwrap();
    point(&world, "two");
    agent.until(&format!("{} is not well", digest(&world, "two")));
    agent.wait("rollback", || agent.heard().matches(&format!("{} runs", digest(&world, "one"))).count() == 2);
    assert_eq!(current(&world), "one");
    assert_eq!(fs::read_to_string(world.at("started")).unwrap(), "one\ntwo\none\n");
    assert_eq!(world.records(), ["admit policy"; 3]);
    let shown = expect(0, &["log", "show", &world.text("log"), "--format", "json"]);
    assert_eq!(shown.matches("deploy --watch, rollback").count(), 1, "{shown}");
    // it is not tried again, whoever restarts the agent; another one is
    agent.kill();
    let agent = start(&world);
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(world.records().len(), 3, "{}", agent.heard());
    point(&world, "three");
    agent.until(&format!("{} runs", digest(&world, "three")));
    assert_eq!(current(&world), "three");
    // what is refused changes nothing, and is asked for once
    fs::write(world.at("in/review.json"), "noise").unwrap();
    point(&world, "one");
    agent.until("reject: ");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!((current(&world).as_str(), world.records().len()), ("three", 5));
}

#[test]
fn going_back_is_refused_where_the_policy_of_today_refuses_it() {
    let world = world(&["one", "two"]);
    point(&world, "one");
    let agent = start(&world);
    agent.until("runs");
    // from now on two scanners' databases are too old for what ran until now, and two brings a newer one
    let policy = fs::read_to_string(world.at("book/prod/orders.yaml")).unwrap();
    fs::write(world.at("book/prod/orders.yaml"), policy.replace("built-within: 30d", "tests: [smoke]"))
        .unwrap();
    let key = world.text("init/keys/ci-tests.key");
    let out = world.text("in/two.test.json");
    expect(
        0,
        &[
            "attest",
            "test",
            &world.text("two"),
            "--name",
            "smoke",
            "--result",
            "passed",
            "--key",
            &key,
            "--out",
            &out,
        ],
    );
    fs::write(world.at("well"), "nothing").unwrap();
    let names = "\"two.sigstore.json\", \"review.json\", \"two.scan.json\", \"two.test.json\"";
    let text = format!(
        "{{\"artifact\": \"two\", \"digest\": \"{}\", \"bundles\": [{names}]}}",
        digest(&world, "two")
    );
    fs::write(world.at("in/now.json"), text).unwrap();
    agent.until("is not well");
    agent.until("error[tests]");
    agent.until("reject: ");
    // nothing that is refused runs, not even instead of something worse
    assert_eq!(current(&world), "two");
    assert_eq!(world.records(), ["admit policy", "admit policy", "reject policy"]);
}

#[test]
fn killed_at_any_moment_it_goes_on_and_what_is_current_is_whole() {
    let world = world(&["one", "two"]);
    point(&world, "one");
    let agent = start(&world);
    agent.until("runs");
    agent.kill();
    let names = ["two", "one"];
    for turn in 0..14_u32 {
        let name = names[usize::try_from(turn % 2).unwrap()];
        point(&world, name);
        let agent = start(&world);
        std::thread::sleep(Duration::from_millis(u64::from(turn) * 23 + 5));
        agent.kill();
        assert!(names.contains(&current(&world).as_str()));
        fs::remove_file(world.at("heard")).unwrap();
        let agent = start(&world);
        let marker = digest(&world, name);
        agent.wait("settled", || {
            fs::read_to_string(world.at("srv/state.json"))
                .is_ok_and(|s| s.contains(&format!("\"settled\":\"{marker}\"")))
        });
        assert_eq!(current(&world), name, "turn {turn}");
        agent.kill();
    }
    expect(0, &["log", "verify", &world.text("log")]);
    assert!(world.records().iter().all(|record| record == "admit policy"));
}

#[test]
fn killed_while_a_release_starts_it_is_started_again_and_not_taken_for_well() {
    let world = world(&["one", "two"]);
    point(&world, "one");
    let agent = start(&world);
    agent.until("runs");
    agent.kill();
    // a start that does not come back: killed there, after the switch
    let config = fs::read_to_string(world.at("watch.yaml")).unwrap();
    fs::write(
        world.at("watch.yaml"),
        config.replace("'cat current", "'touch ../begun; sleep 60; cat current"),
    )
    .unwrap();
    point(&world, "two");
    let agent = start(&world);
    agent.wait("begun", || world.at("begun").exists());
    assert_eq!(current(&world), "two");
    agent.kill();
    fs::write(world.at("watch.yaml"), &config).unwrap();
    fs::write(world.at("well"), "one").unwrap();
    let agent = start(&world);
    agent.until("is not well");
    agent.wait("one", || current(&world) == "one" && agent.heard().ends_with(" runs\n"));
    assert!(fs::read_to_string(world.at("started")).unwrap().ends_with("two\none\n"));
}

#[test]
fn a_pointer_says_only_where_to_look() {
    let world = world(&["one"]);
    fs::write(world.at("secret"), "secret").unwrap();
    let good = digest(&world, "one");
    let agent = start(&world);
    for (text, word) in [
        ("noise".to_owned(), "cannot be read"),
        (
            format!("{{\"artifact\": \"../secret\", \"digest\": \"{good}\", \"bundles\": []}}"),
            "names of files beside it",
        ),
        (
            format!("{{\"artifact\": \"one\", \"digest\": \"{good}\", \"bundles\": [\"/etc/passwd\"]}}"),
            "names of files beside it",
        ),
        (
            format!("{{\"artifact\": \"one\", \"digest\": \"{good}\", \"bundles\": [], \"run\": \"x\"}}"),
            "and nothing else",
        ),
        (
            format!("{{\"artifact\": \"one\", \"digest\": \"sha256:{}\", \"bundles\": []}}", "ab".repeat(32)),
            "is not what its name says",
        ),
        (format!("{{\"artifact\": \"absent\", \"digest\": \"{good}\", \"bundles\": []}}"), "in/absent"),
        (format!("{{\"artifact\": \"one\", \"digest\": \"{good}\", \"bundles\": []}}"), "error[built-by]"),
    ] {
        fs::write(world.at("in/next.json"), &text).unwrap();
        fs::rename(world.at("in/next.json"), world.at("in/now.json")).unwrap();
        agent.until(word);
        assert!(!world.at("srv/current").exists(), "{text}");
    }
    assert_eq!(world.records(), ["reject policy"]);
    // a second agent for the same place is none
    let mut command = portcullis_command();
    command.current_dir(world.dir.path()).args(["deploy", "--watch", "watch.yaml"]).args(world.gate());
    let text = crate::world::said(2, &command.output().unwrap());
    assert!(text.contains("another agent watches for"), "{text}");
    fs::write(world.at("watch.yaml"), "environment: prod/orders\nevery: soon\nrun: x\n").unwrap();
    let text = crate::world::said(2, &command.output().unwrap());
    assert!(
        text.contains("unknown") && text.contains("a span of time") && text.contains("artifact"),
        "{text}"
    );
}

#[test]
fn what_lies_beside_the_pointer_is_a_plain_file_and_no_way_out() {
    let world = world(&["one"]);
    // whoever brings releases may write there, and may not read what the agent may
    fs::write(world.at("secret"), "hunter2").unwrap();
    std::os::unix::fs::symlink("../secret", world.at("in/out.json")).unwrap();
    assert!(Command::new("mkfifo").arg(world.at("in/pipe")).status().unwrap().success());
    let agent = start(&world);
    for (artifact, bundle, word) in [
        ("one", "out.json", "it leads out of its folder"),
        ("pipe", "review.json", "it is no plain file"),
        ("out.json", "review.json", "it leads out of its folder"),
    ] {
        fs::write(world.at("heard"), "").unwrap();
        let good = digest(&world, "one");
        let text =
            format!("{{\"artifact\": \"{artifact}\", \"digest\": \"{good}\", \"bundles\": [\"{bundle}\"]}}");
        fs::write(world.at("in/next.json"), text).unwrap();
        fs::rename(world.at("in/next.json"), world.at("in/now.json")).unwrap();
        agent.until(word);
        let found = Command::new("grep").args(["-rl", "hunter2"]).arg(world.at("srv")).output().unwrap();
        assert_eq!(crate::tools::stdout(&found), "");
    }
    assert!(world.records().is_empty() && !world.at("srv/current").exists());
    // a link that stays is one of the files beside it
    fs::rename(world.at("in/review.json"), world.at("in/real.json")).unwrap();
    std::os::unix::fs::symlink("real.json", world.at("in/review.json")).unwrap();
    point(&world, "one");
    agent.until("runs");
}

/// A web server of openssl's, for the files of a folder.
struct Web(Child, String);

impl Drop for Web {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn serve(world: &World, folder: &str) -> Web {
    let (key, certificate) = (world.text("init/tls/server.key"), world.text("init/tls/server.crt"));
    let mut command = Command::new("openssl");
    command.args(["s_server", "-WWW", "-accept", "127.0.0.1:0", "-cert", &certificate, "-key", &key]);
    let mut child =
        command.current_dir(world.at(folder)).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.starts_with("ACCEPT ")).unwrap();
    // it says every request, and ends where nobody hears
    std::thread::spawn(move || lines.for_each(drop));
    Web(child, format!("https://{}", line.trim_start_matches("ACCEPT ")))
}

#[test]
fn a_release_is_fetched_from_a_web_server_and_believed_as_little() {
    let world = world(&["one"]);
    point(&world, "one");
    let web = serve(&world, "in");
    let config = fs::read_to_string(world.at("watch.yaml")).unwrap();
    let with = |ca: &str| {
        let pointer = format!("pointer: {}/now.json\nca: {ca}", web.1);
        fs::write(world.at("watch.yaml"), config.replace("pointer: in/now.json", &pointer)).unwrap();
    };
    // under another authority nothing is fetched
    expect(0, &["init", &world.text("stranger")]);
    with("stranger/tls/ca.crt");
    let agent = start(&world);
    agent.until("cannot be fetched");
    agent.kill();
    with("init/tls/ca.crt");
    let agent = start(&world);
    agent.until(&format!("{} runs", digest(&world, "one")));
    assert_eq!(current(&world), "one");
    // other bytes than the pointer names are nothing
    let mut changed = fs::read(world.at("in/one")).unwrap();
    changed[5] ^= 1;
    fs::write(world.at("in/two"), &changed).unwrap();
    fs::write(world.at("in/now.json"), "{\"artifact\": \"two\", \"digest\": \"sha256:00\", \"bundles\": []}")
        .unwrap();
    agent.until("sha256:HEX");
    let text =
        format!("{{\"artifact\": \"two\", \"digest\": \"sha256:{}\", \"bundles\": []}}", "ab".repeat(32));
    fs::write(world.at("in/now.json"), text).unwrap();
    agent.until("is not what its name says");
    assert_eq!((current(&world).as_str(), world.records().len()), ("one", 1));
}
