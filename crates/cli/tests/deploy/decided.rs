//! What a decision lets happen, and how the command ends.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::tools::{code, path, portcullis_command, stderr, stdout};
use crate::world::{World, said};

#[test]
fn the_command_gets_the_bytes_in_an_open_file_and_its_status_is_ours() {
    let world = World::new();
    world.good("m.sql", b"SELECT 1;\n");
    let output = world
        .command("m.sql", &[], &["sh", "-c", "cat \"$1\"; ls -l \"$1\"; exit 7", "x", "{}"])
        .output()
        .unwrap();
    let text = said(7, &output);
    assert!(stdout(&output).starts_with("SELECT 1;\n"), "{text}");
    assert!(
        text.contains("/memfd:artifact (deleted)") && text.contains("admit: sql://orders/migrations@sha256:"),
        "{text}"
    );
    let about = "by policy\nenvironment: prod/orders\nartifact: sql://orders/migrations@sha256:";
    assert!(text.contains(about) && text.contains("\nrecord: "), "{text}");
    assert_eq!(world.records(), ["admit policy"]);
    // the same on standard input, from its beginning, and again
    for _ in 0..2 {
        let output = world.command("m.sql", &["--stdin"], &["cat"]).output().unwrap();
        assert_eq!(stdout(&output), "SELECT 1;\n", "{}", said(0, &output));
    }
    // a command that a signal ends, as a shell says it
    world.deploy(128 + 9, "m.sql", &["--stdin"], &["sh", "-c", "kill -9 $$"]);
    // a verified program runs from memory
    world.good("program", b"#!/bin/sh\necho ran with $1\n");
    let text = world.deploy(0, "program", &[], &["{}", "this"]);
    assert!(text.contains("ran with this"), "{text}");
    // nobody can change it, whoever he is
    let text = world.deploy(
        0,
        "m.sql",
        &[],
        &["sh", "-c", "echo x 2>&1 >> {} || chmod u+w {}; echo x 2>&1 >> {}; cat {}"],
    );
    assert!(
        text.matches("I/O error").count() == 2 && text.contains("SELECT 1;\n") && !text.contains("\nx"),
        "{text}"
    );
}

#[test]
fn what_is_refused_runs_nothing_and_reads_no_credential() {
    let world = World::new();
    world.good("m.sql", b"SELECT 1;\n");
    let vault = world.vault("secret", "");
    let run = ["sh", "-c", "touch ran; cat {}"];
    fs::write(world.at("m.sql"), b"SELECT 2;\n").unwrap();
    let text = world.deploy(1, "m.sql", &["--credential", &vault], &run);
    assert!(text.contains("error[built-by]") && text.contains("reject: "), "{text}");
    fs::write(world.at("m.sql"), b"SELECT 1;\n").unwrap();
    let text = world.deploy(1, "m.sql", &["--credential", &vault, "--environment", "prod/other"], &run);
    assert!(text.contains("error[policy-missing]"), "{text}");
    // a dry run of what would be admitted
    let text = world.deploy(0, "m.sql", &["--credential", &vault, "--dry-run"], &run);
    assert!(
        text.contains("admit: ") && text.contains("dry run: nothing is on record, and nothing was run"),
        "{text}"
    );
    assert!(!world.at("ran").exists());
    assert_eq!(world.asked(), 0);
    assert_eq!(world.records(), ["reject policy", "reject policy"]);
    // and then it is
    world.deploy(0, "m.sql", &["--credential", &vault], &run);
    assert!(world.at("ran").exists());
    assert_eq!((world.asked(), world.records().len()), (1, 3));
}

#[test]
fn credentials_reach_the_command_and_nothing_else() {
    let world = World::new();
    world.good("m.sql", b"SELECT 1;\n");
    fs::write(world.at("key"), "of a file\n").unwrap();
    let (vault, file) = (world.vault("hunter2", ""), format!("KEY=file:{}", world.text("key")));
    let pass = vault.replace("PGPASSWORD", "PASSFILE");
    let show = "echo $PGPASSWORD and $KEY and $(cat $PASSFILE) $(stat -Lc %a $PASSFILE); cat /proc/$$/cmdline /proc/$PPID/cmdline";
    let more = ["--credential", &vault, "--credential", &file, "--credential-file", &pass];
    let output = world.command("m.sql", &more, &["sh", "-c", show, "{}"]).output().unwrap();
    let text = said(0, &output);
    assert!(stdout(&output).starts_with("hunter2 and of a file and hunter2 600\n"), "{text}");
    assert_eq!(text.matches("hunter2").count(), 2, "{text}");
    let found =
        Command::new("grep").args(["-rlE", "hunter2|of a file"]).arg(world.at("log")).output().unwrap();
    assert_eq!(stdout(&found), "");
    // one that cannot be had: admitted, and nothing is run; what its program printed is not shown
    for (script, word) in [
        ("echo leak; exit 3", "ended with 3"),
        ("printf ''; exit 0", "it is empty"),
        ("kill -9 $$", "a signal"),
    ] {
        let vault = world.vault("x", script);
        let text = world.deploy(2, "m.sql", &["--credential", &vault], &["touch", "ran", "{}"]);
        assert!(text.contains("the credential PGPASSWORD cannot be had") && text.contains(word), "{text}");
        assert!(!text.contains("leak") && !world.at("ran").exists(), "{text}");
    }
    let text = world.deploy(2, "m.sql", &["--credential", "A=file:absent"], &["touch", "ran", "{}"]);
    assert!(text.contains("absent: No such file") && !world.at("ran").exists(), "{text}");
}

#[test]
fn a_command_line_that_means_nothing_is_told_before_anything_is_read() {
    let world = World::new();
    world.good("m.sql", b"SELECT 1;\n");
    for (more, command, word) in [
        (vec![], vec![], "nothing says what to run"),
        (vec![], vec!["psql"], "nothing gives the command the verified bytes"),
        (vec!["--at", "2026-11-22T09:00:00Z"], vec!["cat", "{}"], "unexpected argument '--at'"),
        (vec!["--credential", "PGPASSWORD=hunter2"], vec!["cat", "{}"], "wanted NAME=file:PATH"),
        (vec!["--credential", "A B=file:x"], vec!["cat", "{}"], "with a name of letters"),
        (
            vec!["--breakglass", &format!("sha256:{}", "ab".repeat(32))],
            vec!["cat", "{}"],
            "a digest names a grant in",
        ),
        (vec!["--server", "https://127.0.0.1:1"], vec!["cat", "{}"], "cannot be used with"),
        (vec!["--spool", "spool"], vec!["cat", "{}"], "nothing says whom the spool waits for"),
    ] {
        let text = world.deploy(2, "m.sql", &more, &command);
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(world.records().is_empty());
    for (name, word) in [("absent.sql", "cannot read the artifact"), ("book", "is a folder")] {
        let mut deploy = portcullis_command();
        deploy
            .current_dir(world.dir.path())
            .args(["deploy", name, "--environment", "prod/orders"])
            .args(world.gate());
        let output = deploy.args(["--", "cat", "{}"]).output().unwrap();
        let text = said(2, &output);
        assert!(text.contains(word), "{text}");
    }
    let (plain, broken) = (world.at("plain"), world.at("broken"));
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    fs::write(&broken, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    for program in ["no-such-program", "./no-such-program", path(&plain), path(world.dir.path())] {
        let text = world.deploy(2, "m.sql", &[], &[program, "{}"]);
        assert!(text.contains("cannot be run, so nothing was decided"), "{program}: {text}");
    }
    assert!(world.records().is_empty(), "what cannot be run is found before the decision");
    let text = world.deploy(2, "m.sql", &[], &[path(&broken), "{}"]);
    assert!(text.contains("the file is admitted, and `") && text.contains("broken` did not run"), "{text}");
    assert_eq!(world.records().len(), 1);
    // no way to decide is no decision
    fs::write(world.at("log/checkpoint"), "noise").unwrap();
    let text = world.deploy(2, "m.sql", &[], &["touch", "ran", "{}"]);
    assert!(text.contains("the log in") && !world.at("ran").exists(), "{text}");
}

#[test]
fn json_is_one_document_and_the_commands_words_are_beside_it() {
    let world = World::new();
    world.good("m.sql", b"SELECT 1;\n");
    let read = |output: &std::process::Output| {
        let json = attest::json::parse(stdout(output).as_bytes())
            .unwrap_or_else(|e| panic!("{e}: {}", stdout(output)));
        json.as_object().unwrap().clone()
    };
    let output =
        world.command("m.sql", &["--format", "json"], &["sh", "-c", "cat {}; exit 3"]).output().unwrap();
    let json = read(&output);
    assert_eq!((code(&output), stderr(&output).as_str()), (3, "SELECT 1;\n"));
    assert_eq!((json.string("decision").unwrap(), json.string("basis").unwrap()), ("admit", "policy"));
    assert_eq!(json.int("status").unwrap(), 3);
    assert!(json.string("record").unwrap().contains(":sha256:"));
    let output = world.command("m.sql", &["--format", "json", "--dry-run"], &[]).output().unwrap();
    assert!(read(&output).flag("dry_run").unwrap());
    fs::write(world.at("m.sql"), "SELECT 2;").unwrap();
    let output = world.command("m.sql", &["--format", "json"], &["cat", "{}"]).output().unwrap();
    let json = read(&output);
    assert_eq!((code(&output), json.string("decision").unwrap()), (1, "reject"));
    assert!(json.get("status").is_none() && json.array("findings").unwrap().len() > 1);
}

#[test]
fn a_signal_reaches_the_command_which_may_end_as_it_likes() {
    let world = World::new();
    world.good("m.sql", b"SELECT 1;\n");
    let script = "trap 'echo told; exit 42' TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = world.command("m.sql", &["--stdin"], &["sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut heard = [0; 6];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut heard).unwrap();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let began = Instant::now();
    let status = child.wait().unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((status.code(), rest.as_str()), (Some(42), "told\n"));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn two_at_once_are_both_on_record() {
    let world = World::new();
    world.good("m.sql", b"SELECT 1;\n");
    let running: Vec<_> = (0..4)
        .map(|_| {
            world
                .command("m.sql", &["--stdin"], &["cat"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in running {
        said(0, &child.wait_with_output().unwrap());
    }
    assert_eq!(world.records(), ["admit policy"; 4]);
}

#[test]
fn a_grant_lets_in_here_what_the_policy_refuses_and_says_so() {
    let world = World::new();
    world.built("fix.sql", b"UPDATE orders;\n", &[]);
    let (key, root, out) =
        (world.text("init/keys/bob.key"), world.text("trust-root.yaml"), world.text("grant.json"));
    let what = [
        "breakglass",
        "open",
        "--environment",
        "prod/orders",
        "--reason",
        "checkout is down",
        "--ticket",
        "INC-42",
    ];
    let who = ["--expires", "1h", "--key", &key, "--trust-root", &root, "--out", &out];
    crate::tools::expect(0, &[&what[..], &who].concat());
    world.reviewed("review.json", "alice@acme.example");
    world.scanned("fix.sql", "fix.sql.scan.json", None);
    let text = world.deploy(1, "fix.sql", &["--stdin"], &["cat"]);
    assert!(text.contains("error[source-reviewed]"), "{text}");
    let text = world.deploy(0, "fix.sql", &["--stdin", "--breakglass", "grant.json"], &["cat"]);
    assert!(text.contains("is admitted by a grant") && text.contains("UPDATE orders;"), "{text}");
    // for another environment it is worth nothing
    let text = world.deploy(
        1,
        "fix.sql",
        &["--stdin", "--breakglass", "grant.json", "--environment", "prod/shop"],
        &["cat"],
    );
    assert!(text.contains("error[breakglass-grant]"), "{text}");
    assert_eq!(world.records(), ["reject policy", "admit breakglass", "reject policy"]);
}
