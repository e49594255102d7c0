//! `portcullis builder init [DIR]`: a definition and a script for the project that is there.

use std::path::PathBuf;

use attest::{Json, Object};
use builder::{DEFINITION_FILE, Project, Road, SCRIPT_FILE};
use clap::builder::PossibleValuesParser;

use crate::failure::{Exit, Failure};
use crate::keys::{folder, write};
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  portcullis builder init && portcullis builder lock
  git add portcullis portcullis.build.yaml portcullis.build.lock")]
pub(crate) struct Args {
    /// The project
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// What kind of project it is; by its files without
    #[arg(long, value_name = "ROAD", value_parser = PossibleValuesParser::new(Road::ALL.map(Road::name)))]
    road: Option<String>,
    /// Replace what is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    if !args.dir.is_dir() {
        return Err(Failure::new(&format!("there is no folder {}", args.dir.display()))
            .line("fix", "name the project's folder"));
    }
    let project = Project::new(&args.dir);
    let (road, others) = choose(args, &project)?;
    let paved = road.pave(&project).map_err(|e| {
        Failure::new(&format!("the {} road cannot be taken: {}", road.name(), e.message)).line("fix", &e.fix)
    })?;
    let (definition, script) = (args.dir.join(DEFINITION_FILE), args.dir.join(SCRIPT_FILE));
    for file in [&definition, &script] {
        if file.exists() && !args.force {
            return Err(Failure::new(&format!("{} is there already", file.display()))
                .line("fix", "edit it, or write it anew with --force"));
        }
    }
    folder(script.parent().unwrap_or(&args.dir))?;
    write(&script, &paved.script)?;
    write(&definition, &paved.definition)?;
    let mut human = format!(
        "wrote for a {} project:\n  {}   what is built, with what, and how\n  {}      the commands\n",
        road.name(),
        definition.display(),
        script.display()
    );
    for note in &paved.notes {
        human.push_str(&format!("note: {note}\n"));
    }
    if !others.is_empty() {
        human.push_str(&format!("note: it could also be built as: --road {}\n", others.join(", --road ")));
    }
    human.push_str(&format!(
        "next:
  read both files: whoever may change them decides what is built
  portcullis builder lock {}
  commit them and portcullis.build.lock
",
        args.dir.display()
    ));
    output.result(&human, || {
        let notes = paved.notes.iter().map(|n| Json::from(n.as_str())).collect();
        Object::new()
            .with("road", road.name())
            .with("definition", definition.display().to_string())
            .with("script", script.display().to_string())
            .with("notes", Json::Array(notes))
            .into()
    });
    Ok(Exit::Clean)
}

/// The road, and the others that the project could take.
fn choose(args: &Args, project: &Project) -> Result<(Road, Vec<&'static str>), Failure> {
    let named = args.road.as_deref().and_then(Road::parse);
    let found = Road::of(project);
    let Some(road) = named.or_else(|| found.first().copied()) else {
        let signs: Vec<&str> = Road::ALL.iter().flat_map(|road| road.signs()).copied().collect();
        return Err(Failure::new(&format!("nothing in {} says how it is built", args.dir.display()))
            .line("wanted", &format!("one of {}", signs.join(", ")))
            .line("fix", "name the project's folder, or say what it is with --road"));
    };
    let others =
        found.into_iter().filter(|other| named.is_none() && *other != road).map(Road::name).collect();
    Ok((road, others))
}
