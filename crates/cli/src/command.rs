//! One file a command.

pub(crate) mod advisories;
pub(crate) mod alarms;
pub(crate) mod attach;
pub(crate) mod attest_build;
pub(crate) mod attest_facts;
pub(crate) mod attest_review;
pub(crate) mod audit;
pub(crate) mod binauthz;
pub(crate) mod breakglass;
pub(crate) mod build;
pub(crate) mod builder;
pub(crate) mod demo;
pub(crate) mod deploy;
pub(crate) mod deployed;
pub(crate) mod destination;
pub(crate) mod draft;
pub(crate) mod drill;
pub(crate) mod explain;
pub(crate) mod git_hook;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod keygen;
pub(crate) mod kubernetes;
pub(crate) mod layout;
pub(crate) mod log;
pub(crate) mod manual;
pub(crate) mod open;
pub(crate) mod operator;
pub(crate) mod policy;
pub(crate) mod rebuild;
pub(crate) mod registry;
pub(crate) mod replay;
pub(crate) mod running;
pub(crate) mod serve;
pub(crate) mod sign;
pub(crate) mod signer;
pub(crate) mod summary;
pub(crate) mod threats;
pub(crate) mod throw_away;
pub(crate) mod trust_root;
pub(crate) mod verify;
pub(crate) mod why;

use crate::args::Command;
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(crate) fn run(command: Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Demo(args) => demo::run(&args, output),
        Command::Drill(args) => drill::run(&args, output),
        Command::Init(args) => init::run(&args, output),
        Command::Keygen(args) => keygen::run(&args, output),
        Command::Build(args) => build::run(&args, output),
        Command::Rebuild(args) => rebuild::run(&args, output),
        Command::Builder(command) => builder::run(&command, output),
        Command::Attest(command) => attest_facts::run(&command, output),
        Command::Import(command) => import::run(&command, output),
        Command::Alarms(command) => alarms::run(&command, output),
        Command::Attach(args) => attach::run(&args, output),
        Command::Advisories(command) => advisories::run(&command, output),
        Command::Breakglass(command) => breakglass::run(&command, output),
        Command::GitHook(command) => git_hook::run(&command, output),
        Command::Open(args) => open::run(&args, output),
        Command::Verify(args) => verify::run(&args, output),
        Command::Layout(command) => layout::run(&command, output),
        Command::Binauthz(command) => binauthz::run(&command, output),
        Command::Policy(command) => policy::run(&command, output),
        Command::Explain(args) => explain::run(&args, output),
        Command::Threats(args) => threats::run(&args, output),
        Command::TrustRoot(command) => trust_root::run(&command, output),
        Command::Kubernetes(command) => kubernetes::run(&command, output),
        Command::Log(command) => log::run(&command, output),
        Command::Deploy(args) => deploy::run(&args, output),
        Command::Serve(args) => serve::run(&args, output),
        Command::Why(args) => why::run(&args, output),
        Command::Running(args) => running::run(&args, output),
        Command::Deployed(args) => deployed::run(&args, output),
        Command::Replay(args) => replay::run(&args, output),
        Command::Sign(args) => sign::run(&args, output),
        Command::Summary(command) => summary::run(&command, output),
        Command::Audit(args) => audit::run(&args, output),
        Command::Completions { shell } => Ok(manual::completions(shell, output)),
        Command::Man { dir } => manual::man_pages(&dir, output),
    }
}
