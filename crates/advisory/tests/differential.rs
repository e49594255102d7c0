//! The orders against the ecosystems' own programs, where this machine has them.

mod versions;

use std::cmp::Ordering;
use std::io::Write as _;
use std::process::{Command, Stdio};

use advisory::Order;
use versions::Seeded;

/// What a program says of pairs, one a line: `<`, `=`, `>`, or `?` for what is no version to it.
fn asked(program: &str, args: &[&str], pairs: &[(String, String)]) -> Option<Vec<String>> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let lines: String = pairs.iter().map(|(a, b)| format!("{a} {b}\n")).collect();
    let mut input = child.stdin.take()?;
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().ok()?;
    drop(writer.join());
    let answers: Vec<String> = String::from_utf8(output.stdout).ok()?.lines().map(str::to_owned).collect();
    (output.status.success() && answers.len() == pairs.len()).then_some(answers)
}

fn agrees(order: Order, name: &str, count: usize, program: &str, args: &[&str]) {
    let mut seeded = Seeded(5);
    let pairs: Vec<(String, String)> =
        (0..count).map(|_| (seeded.proper(order), seeded.proper(order))).collect();
    let Some(answers) = asked(program, args, &pairs) else {
        eprintln!("\n*** SKIPPED: {name} is not here; this test checked NOTHING ***\n");
        return;
    };
    let mut wrong = Vec::new();
    let mut compared = 0;
    for ((a, b), answer) in pairs.iter().zip(&answers) {
        let ours = match order.compare(a, b) {
            Ordering::Less => "<",
            Ordering::Equal => "=",
            Ordering::Greater => ">",
        };
        if answer == "?" {
            continue;
        }
        compared += 1;
        assert!(order.reads(a) && order.reads(b), "{name} reads {a} and {b}");
        if ours != answer {
            wrong.push(format!("{a} {answer} {b}, and not {ours}"));
        }
    }
    println!("{name}: {compared} of {count} pairs compared, {} wrong", wrong.len());
    assert!(compared * 10 >= count * 9, "{name}: only {compared} of {count} are versions to it");
    assert!(wrong.is_empty(), "{name}: {} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn pythons_packaging_agrees() {
    let script = "
import sys
from packaging.version import Version, InvalidVersion
for line in sys.stdin:
    a, b = line.split()
    try:
        a, b = Version(a), Version(b)
        print('<' if a < b else '>' if a > b else '=')
    except InvalidVersion:
        print('?')
";
    agrees(Order::PyPi, "packaging", 20_000, "python3", &["-c", script]);
}

#[test]
fn dpkg_agrees() {
    let script = "while read -r a b; do
        if dpkg --compare-versions \"$a\" lt \"$b\" 2>/dev/null; then echo '<'
        elif dpkg --compare-versions \"$a\" gt \"$b\" 2>/dev/null; then echo '>'
        elif dpkg --compare-versions \"$a\" eq \"$b\" 2>/dev/null; then echo '='
        else exit 3; fi; done";
    agrees(Order::Dpkg, "dpkg", 500, "sh", &["-c", script]);
}

#[test]
fn npms_semver_agrees() {
    let script = "
const root = require('child_process').execSync('npm root -g').toString().trim();
const semver = require(root + '/npm/node_modules/semver');
const lines = require('fs').readFileSync(0, 'utf8').trim().split('\\n');
for (const line of lines) {
  const [a, b] = line.split(' ');
  console.log(semver.valid(a) && semver.valid(b) ? ['<', '=', '>'][semver.compare(a, b) + 1] : '?');
}";
    agrees(Order::SemVer, "npm's semver", 20_000, "node", &["-e", script]);
}

/// Maven's own class prints how each of its arguments compares to the one before.
#[test]
fn maven_agrees() {
    let script = "
jar=$(ls /usr/share/java/maven-artifact-3.x.jar /usr/share/maven/lib/maven-artifact-*.jar 2>/dev/null | head -n 1)
[ -n \"$jar\" ] || exit 3
java -cp \"$jar\" org.apache.maven.artifact.versioning.ComparableVersion $(cat) | awk '
  /^ / { found = $2 == \"==\" ? \"=\" : $2 }
  /^[0-9]+\\. / { if (n > 0 && n % 2 == 1) print found; n++ }'";
    agrees(Order::Maven, "Maven's ComparableVersion", 5_000, "sh", &["-c", script]);
}
