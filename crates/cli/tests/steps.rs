//! `docs/one-step-at-a-time.md`, walked from its beginning to its end.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tools::{code, part, stderr, stdout};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/one-step-at-a-time.md");

/// One command of the guide, and what it says about its end.
#[derive(Debug)]
struct Step {
    section: String,
    command: String,
    exit: i32,
    said: Vec<String>,
}

/// The commands of the console blocks: `$ ` begins one, `> ` goes on with it, other lines are what it says.
fn steps() -> Vec<Step> {
    let text = fs::read_to_string(GUIDE).unwrap();
    let (mut steps, mut section, mut is_console) = (Vec::<Step>::new(), String::new(), false);
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        } else if line.starts_with("```") {
            is_console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_console) {
            steps.push(Step {
                section: section.clone(),
                command: command.to_owned(),
                exit: 0,
                said: Vec::new(),
            });
        } else if is_console {
            let step = steps.last_mut().unwrap();
            match line.strip_prefix("> ") {
                Some(more) => step.command += &format!("\n{more}"),
                None => step.said.push(line.to_owned()),
            }
        }
    }
    for step in &mut steps {
        step.exit = if step.command.ends_with("# exits with 1") { 1 } else { 0 };
    }
    steps
}

/// A reader's folder: the checkout of a project in `shop`, and where it was cloned from.
struct Reader {
    dir: tempfile::TempDir,
}

impl Reader {
    fn new() -> Self {
        let reader = Self { dir: tempfile::tempdir().unwrap() };
        let origin = reader.origin();
        reader.succeed(&format!(
            "git init --quiet --bare --initial-branch main {origin} && git clone --quiet file://{origin} shop"
        ));
        for (name, text) in [
            ("main.c", "int main(void) { return 0; }\n"),
            ("Makefile", "shop: main.c\n\tgcc -o shop main.c\n"),
            (".gitignore", "/shop\n"),
        ] {
            fs::write(reader.dir.path().join("shop").join(name), text).unwrap();
        }
        let commit = "git add . && git commit --quiet --message start && git push --quiet origin HEAD:main";
        reader.succeed(&format!("cd shop && git checkout --quiet -B main && {commit}"));
        reader
    }

    fn origin(&self) -> String {
        self.dir.path().join("origin").to_str().unwrap().to_owned()
    }

    /// Runs what the guide says, with the project where it is here.
    fn run(&self, command: &str) -> Output {
        let command = command.replace("https://github.com/acme/shop", &format!("file://{}", self.origin()));
        let program = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap().display().to_string();
        let who = [("AUTHOR", "Alice", "alice@acme.example"), ("COMMITTER", "Alice", "alice@acme.example")];
        let mut shell = Command::new("bash");
        shell.args(["-c", &command]).current_dir(self.dir.path()).env_clear();
        shell.env("PATH", format!("{program}:/usr/local/bin:/usr/bin:/bin")).env("HOME", self.dir.path());
        for (role, name, address) in who {
            shell.env(format!("GIT_{role}_NAME"), name).env(format!("GIT_{role}_EMAIL"), address);
        }
        shell.output().unwrap()
    }

    fn succeed(&self, command: &str) {
        let output = self.run(command);
        assert_eq!(code(&output), 0, "{command}\n{}{}", stdout(&output), stderr(&output));
    }

    /// Walks, and insists on what the guide says of every command.
    fn walk<'s>(&self, steps: impl Iterator<Item = &'s Step>) -> usize {
        let mut count = 0;
        for step in steps {
            let output = self.run(&step.command);
            let text = stdout(&output) + &stderr(&output);
            assert_eq!(code(&output), step.exit, "{}: {}\n{text}", step.section, step.command);
            for said in &step.said {
                assert!(text.contains(said.as_str()), "{}: wanted `{said}` in\n{text}", step.command);
            }
            count += 1;
        }
        count
    }
}

fn is_before(step: &Step, section: char) -> bool {
    step.section.starts_with(|c: char| c < section)
}

#[test]
fn every_step_has_its_section_and_the_last_five_have_commands() {
    let text = fs::read_to_string(GUIDE).unwrap();
    for step in 1..=6 {
        assert!(text.contains(&format!("\n## {step}. ")), "step {step}");
    }
    let steps = steps();
    for step in ["2", "3", "4", "5", "6"] {
        assert!(steps.iter().any(|s| s.section.starts_with(step)), "no command in step {step}");
    }
    assert!(steps.iter().filter(|s| s.exit == 1).count() >= 5);
}

#[test]
fn the_steps_before_the_sandbox_work_as_they_stand() {
    let Some(_make) = part("make", PathBuf::from("/usr/bin/make")) else { return };
    let Some(_gcc) = part("gcc", PathBuf::from("/usr/bin/gcc")) else { return };
    assert!(Reader::new().walk(steps().iter().filter(|step| is_before(step, '4'))) >= 10);
}

#[test]
fn all_steps_work_as_they_stand_in_one_folder() {
    for tool in ["make", "gcc", "bwrap"] {
        if part(tool, Path::new("/usr/bin").join(tool)).is_none() {
            return;
        }
    }
    assert!(Reader::new().walk(steps().iter()) >= 30);
}
