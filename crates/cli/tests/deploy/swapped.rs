//! What stands under a name changes at every moment; the command only ever sees what was judged.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::tools::stdout;
use crate::world::{World, said};

const GOOD: &[u8] = b"SELECT 'good';\n";
const EVIL: &[u8] = b"DROP TABLE orders;\n";

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn begin(world: &World, more: &[&str], command: &[&str]) -> Child {
    let mut deploy = world.command("m.sql", more, command);
    deploy.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A world in which `m.sql` is a file with good evidence.
fn world() -> World {
    let world = World::new();
    world.good("m.sql", GOOD);
    world
}

/// The command saw the good bytes.
fn is_good(output: &Output) {
    let text = said(0, output);
    assert_eq!(stdout(output).as_bytes(), GOOD, "{text}");
}

#[test]
fn swapped_before_it_is_opened_it_is_judged_as_what_it_is() {
    let world = world();
    fs::rename(world.at("m.sql"), world.at("kept.sql")).unwrap();
    fs::write(world.at("evil.sql"), EVIL).unwrap();
    symlink("evil.sql", world.at("m.sql")).unwrap();
    let text = world.deploy(1, "m.sql", &[], &["cat", "{}"]);
    assert!(text.contains("error[built-by]") && !text.contains("DROP TABLE"), "{text}");
    // a link to the good one is the good one, also when it leads elsewhere right after
    fs::remove_file(world.at("m.sql")).unwrap();
    symlink("kept.sql", world.at("m.sql")).unwrap();
    let vault = world.vault("x", &format!("ln -sfn evil.sql {}", world.text("m.sql")));
    is_good(&world.command("m.sql", &["--credential", &vault], &["cat", "{}"]).output().unwrap());
    assert_eq!(fs::read_link(world.at("m.sql")).unwrap(), Path::new("evil.sql"));
}

#[test]
fn swapped_while_it_is_read_the_bytes_that_came_are_judged() {
    let world = world();
    // the first half, then another file under the name, then the rest: what came is the good file
    fs::remove_file(world.at("m.sql")).unwrap();
    fifo(&world.at("m.sql"));
    let child = begin(&world, &[], &["cat", "{}"]);
    let mut pipe = OpenOptions::new().write(true).open(world.at("m.sql")).unwrap();
    pipe.write_all(&GOOD[..5]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    fs::remove_file(world.at("m.sql")).unwrap();
    fs::write(world.at("m.sql"), EVIL).unwrap();
    pipe.write_all(&GOOD[5..]).unwrap();
    drop(pipe);
    is_good(&child.wait_with_output().unwrap());
    // the good file's first half and evil's second: what came is neither
    fs::remove_file(world.at("m.sql")).unwrap();
    fifo(&world.at("m.sql"));
    let child = begin(&world, &[], &["cat", "{}"]);
    let mut pipe = OpenOptions::new().write(true).open(world.at("m.sql")).unwrap();
    pipe.write_all(&GOOD[..5]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    pipe.write_all(EVIL).unwrap();
    drop(pipe);
    let text = said(1, &child.wait_with_output().unwrap());
    assert!(text.contains("error[built-by]") && !text.contains("DROP TABLE"), "{text}");
}

#[test]
fn written_to_after_it_was_read_it_is_still_what_was_judged() {
    let world = world();
    // the same inode, in the moment between the admission and the command
    let evil = format!("printf 'DROP TABLE orders;' > {}", world.text("m.sql"));
    let vault = world.vault("x", &evil);
    is_good(&world.command("m.sql", &["--credential", &vault], &["cat", "{}"]).output().unwrap());
    assert_eq!(fs::read(world.at("m.sql")).unwrap(), b"DROP TABLE orders;");
    // and on standard input, and removed
    fs::write(world.at("m.sql"), GOOD).unwrap();
    let vault = world.vault("x", &format!("rm {}", world.text("m.sql")));
    is_good(&world.command("m.sql", &["--stdin", "--credential", &vault], &["cat"]).output().unwrap());
}

#[test]
fn the_folder_is_another_one_after_it_was_read() {
    let world = world();
    fs::create_dir_all(world.at("in/evil")).unwrap();
    fs::create_dir_all(world.at("in/good")).unwrap();
    fs::write(world.at("in/evil/m.sql"), EVIL).unwrap();
    fs::write(world.at("in/good/m.sql"), GOOD).unwrap();
    symlink("good", world.at("in/now")).unwrap();
    fs::remove_file(world.at("m.sql")).unwrap();
    symlink("in/now/m.sql", world.at("m.sql")).unwrap();
    let vault = world.vault("x", &format!("ln -sfn evil {}", world.text("in/now")));
    is_good(&world.command("m.sql", &["--credential", &vault], &["cat", "{}"]).output().unwrap());
    let text = world.deploy(1, "m.sql", &["--credential", &vault], &["cat", "{}"]);
    assert!(text.contains("error[built-by]"), "{text}");
}

#[test]
fn evidence_that_is_swapped_while_it_is_judged_is_what_was_read() {
    let world = world();
    let honest = fs::read(world.at("review.json")).unwrap();
    world.reviewed("own.json", "alice@acme.example");
    // good evidence is read, and bad evidence stands there afterwards: admitted, and the record replays
    fs::remove_file(world.at("review.json")).unwrap();
    fifo(&world.at("review.json"));
    let child = begin(&world, &[], &["cat", "{}"]);
    let mut pipe = OpenOptions::new().write(true).open(world.at("review.json")).unwrap();
    fs::rename(world.at("own.json"), world.at("review.json")).unwrap();
    pipe.write_all(&honest).unwrap();
    drop(pipe);
    is_good(&child.wait_with_output().unwrap());
    // the other way round it is refused, whatever stands there when the command would begin
    let own = fs::read(world.at("review.json")).unwrap();
    fs::remove_file(world.at("review.json")).unwrap();
    fifo(&world.at("review.json"));
    let child = begin(&world, &[], &["cat", "{}"]);
    let mut pipe = OpenOptions::new().write(true).open(world.at("review.json")).unwrap();
    fs::remove_file(world.at("review.json")).unwrap();
    fs::write(world.at("review.json"), &honest).unwrap();
    pipe.write_all(&own).unwrap();
    drop(pipe);
    let text = said(1, &child.wait_with_output().unwrap());
    assert!(text.contains("error[source-reviewed]"), "{text}");
    let replayed = crate::tools::expect(0, &["replay", &world.text("log")]);
    assert!(replayed.contains("2 decisions are the same"), "{replayed}");
}

#[test]
fn a_credential_in_a_pipe_is_opened_only_after_the_admission() {
    let world = world();
    fifo(&world.at("secret"));
    let credential = format!("S=file:{}", world.text("secret"));
    let command = ["sh", "-c", "echo \"$S\"", "{}"];
    // a refusal ends although nobody ever writes to the pipe, and a reader of it would wait
    fs::write(world.at("m.sql"), EVIL).unwrap();
    let began = Instant::now();
    let text = said(1, &begin(&world, &["--credential", &credential], &command).wait_with_output().unwrap());
    assert!(text.contains("reject: ") && began.elapsed() < Duration::from_secs(60), "{text}");
    // an admission waits for it, and is on record by then
    fs::write(world.at("m.sql"), GOOD).unwrap();
    let child = begin(&world, &["--credential", &credential], &command);
    let mut pipe = OpenOptions::new().write(true).open(world.at("secret")).unwrap();
    assert_eq!(world.records(), ["reject policy", "admit policy"]);
    pipe.write_all(b"opened\n").unwrap();
    drop(pipe);
    assert_eq!(stdout(&child.wait_with_output().unwrap()), "opened\n");
}

#[test]
fn killed_before_the_command_it_ran_nothing() {
    let world = world();
    fifo(&world.at("secret"));
    let credential = format!("S=file:{}", world.text("secret"));
    let mut child = begin(&world, &["--credential", &credential], &["touch", "ran", "{}"]);
    // a writer gets through once the reader is there: after the admission
    let pipe = OpenOptions::new().write(true).open(world.at("secret")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(pipe);
    assert!(!world.at("ran").exists());
    // the record stays, and the next one goes on behind it
    world.deploy(0, "m.sql", &[], &["touch", "ran", "{}"]);
    assert_eq!(world.records(), ["admit policy", "admit policy"]);
}

#[test]
fn what_does_not_fit_in_memory_has_no_name_and_no_writer() {
    let world = World::new();
    let large = File::create(world.at("m.sql")).unwrap();
    large.set_len((256 << 20) + 5).unwrap();
    drop(large);
    world.vouched("m.sql");
    let evil = format!("printf DROP | dd of={} conv=notrunc 2>/dev/null", world.text("m.sql"));
    let vault = world.vault("x", &evil);
    let show = "head -c 4 $1 | od -An -tx1; stat -Lc '%a %h %s' $1; ls -l $1";
    let output =
        world.command("m.sql", &["--credential", &vault], &["sh", "-c", show, "x", "{}"]).output().unwrap();
    let text = said(0, &output);
    assert!(stdout(&output).starts_with(" 00 00 00 00\n555 0 268435461\n"), "{text}");
    assert!(text.contains("/var/tmp/") && text.contains("(deleted)"), "{text}");
    assert_eq!(&fs::read(world.at("m.sql")).unwrap()[..4], b"DROP");
}
