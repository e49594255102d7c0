//! The command line.

use clap::{Parser, Subcommand};

use crate::command::{
    advisories, alarms, attach, attest_facts, audit, binauthz, breakglass, build, builder, demo, deploy,
    deployed, drill, explain, git_hook, import, init, keygen, kubernetes, layout, log, open, policy, rebuild,
    replay, running, serve, sign, summary, threats, trust_root, verify, why,
};
use crate::output::{Color, Format};

/// Is the code that runs the code we think it is?
///
/// Portcullis builds verifiably, judges deployments by their provenance, says how to mend what it refuses, and keeps a
/// record that can be proven and replayed.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "\
Exit codes: 0 admitted or clean, 1 rejected or something found, 2 could not do the job.

Examples:
  portcullis demo
  portcullis verify ./shop --environment prod/shop --bundle shop.sigstore.json \\
      --book policies --trust-root trust-root.yaml
  portcullis explain source-repository")]
pub(crate) struct Cli {
    /// Form of the results
    #[arg(long, global = true, value_enum, default_value = "human", display_order = 900)]
    pub(crate) format: Format,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_enum,
        display_order = 901,
        default_value = "auto",
        env = "PORTCULLIS_COLOR",
        hide_env = true
    )]
    pub(crate) color: Color,
    #[arg(long, global = true, env = "NO_COLOR", hide = true)]
    pub(crate) no_color: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole of it on a real upstream project, in a throw-away folder
    Demo(demo::Args),
    /// Stage every threat against the real parts, and show what stops it
    Drill(drill::Args),
    /// Write a trust root, keys, an example book, a guardrail and a policy test that work together
    Init(init::Args),
    /// Make a key pair: NAME.key and NAME.pub
    Keygen(keygen::Args),
    /// Build one target of a git commit verifiably: the artifact and its signed provenance
    Build(build::Args),
    /// Build again what provenance describes, with things made different on purpose, and compare bit for bit
    Rebuild(rebuild::Args),
    /// Parts of the build service
    #[command(subcommand)]
    Builder(builder::Command),
    /// State a fact about an artifact or a commit, signed
    #[command(subcommand)]
    Attest(attest_facts::Command),
    /// Take releases of others in: fetched by digest, compared with the last one that was reviewed, reviewed
    #[command(subcommand)]
    Import(import::Command),
    /// Bring evidence beside an artifact, where choke points look for it
    Attach(attach::Args),
    /// Make review mandatory at the repository itself
    #[command(subcommand)]
    GitHook(git_hook::Command),
    /// Which advisories affect what artifacts are made of
    #[command(subcommand)]
    Advisories(advisories::Command),
    /// What a person must look at
    #[command(subcommand)]
    Alarms(alarms::Command),
    /// Let deployments through in an emergency: signed, for a while, and on record
    #[command(subcommand)]
    Breakglass(breakglass::Command),
    /// Is this bundle authentic, and is it about this artifact?
    Open(open::Args),
    /// Would this artifact be admitted? Offline, with the full explanation
    Verify(verify::Args),
    /// in-toto layouts: verify one in its own terms, or translate it into a policy
    #[command(subcommand)]
    Layout(layout::Command),
    /// Google's Binary Authorization: translate its policy, open its attestations
    #[command(subcommand)]
    Binauthz(binauthz::Command),
    /// Work on policies like code
    #[command(subcommand)]
    Policy(policy::Command),
    /// Explain a rule: what meets it, what does not, an example
    Explain(explain::Args),
    /// Which threats the policies mitigate, by which rule, and which not
    Threats(threats::Args),
    /// Change who may say what: checked, shown as a difference, written for review
    #[command(subcommand)]
    TrustRoot(trust_root::Command),
    Serve(serve::Args),
    /// Verify a file, and run a command on exactly the verified bytes: migrations, releases, units
    Deploy(Box<deploy::Args>),
    /// What a cluster needs around the choke point
    #[command(subcommand)]
    Kubernetes(kubernetes::Command),
    /// The decision log
    #[command(subcommand)]
    Log(log::Command),
    /// Why was this let in, where did it come from, and what else did?
    Why(why::Args),
    /// What runs, or ran at a time, and which decision let it in?
    Running(running::Args),
    /// Everything deployed from a commit, repository, builder, key or base, by somebody, or under a grant
    Deployed(deployed::Args),
    /// Judge again everything that runs: what a policy would say today
    Audit(audit::Args),
    /// Decide recorded cases again, and compare byte for byte
    Replay(replay::Args),
    /// Sign a release, once it is admitted and on record: OpenPGP for apt, minisign, cosign's form
    Sign(sign::Args),
    /// Signed summaries of what was admitted, for other choke points
    #[command(subcommand)]
    Summary(summary::Command),
    /// Print a shell's completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder
    Man {
        /// The folder
        dir: std::path::PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    /// What follows `--help` is as wide as a page; clap would break an example where it is no command any more.
    fn too_wide(command: &clap::Command, found: &mut Vec<String>) {
        for help in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
            let text = help.to_string();
            let wide = text.lines().filter(|line| line.starts_with("  ") && line.chars().count() > 100);
            found.extend(wide.map(|line| format!("{}: {line}", command.get_name())));
        }
        command.get_subcommands().for_each(|below| too_wide(below, found));
    }

    #[test]
    fn examples_stand_as_they_can_be_typed() {
        let mut found = Vec::new();
        too_wide(&super::Cli::command(), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}
