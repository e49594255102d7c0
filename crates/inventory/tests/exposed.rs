//! Advisories about what runs: a real decision log, signed evidence, dumps that change.

mod world;

use std::sync::Arc;

use advisory::Exposure;
use advisory::vex::Statements;
use attest::Directly;
use attest::claims::Severity;
use inventory::Live;
use inventory::advisories::{DumpError, fingerprint, load};
use inventory::audit::{Exposed, Gathered, Known, NotTold, OnRecord};
use tlog::{Blobs, Files, Reader};
use world::{World, advisory, at, bom, lodash, sign};

/// Advisory, component, fixed version, workload.
type Found = (String, String, Option<String>, String);

async fn look(world: &World, worst: Severity) -> (Vec<Found>, Exposed) {
    let inventory = world.inventory().await;
    let files = Files::new(&world.log());
    let (reader, blobs) = (Reader::new(&files, world.size()), Blobs::new(&files));
    let kept = Blobs::new(files.clone());
    let evidence = OnRecord(&kept);
    let mut gathered = Gathered::default();
    gathered.take_in(&inventory, &reader, &blobs, &evidence).await.unwrap();
    let made_of = gathered.made_of(&world::root(), at(100), &Directly, &evidence);
    let (database, _) = load(&[world.osv()], &made_of.wanted()).unwrap();
    let vex = Statements::default();
    let mut found = Vec::new();
    let mut each = |live: &Live, exposures: &[Arc<Exposure>]| {
        for one in exposures {
            let workload = live.workload.clone().unwrap();
            found.push((one.found.id.clone(), one.component.label(), one.found.fixed.clone(), workload));
        }
    };
    let known = Known { database: &database, vex: &vex, worst };
    let exposed = gathered.exposed(&inventory, &made_of, known, &mut each).await.unwrap();
    inventory.close().await;
    (found, exposed)
}

fn found(advisory: &str, component: &str, fixed: Option<&str>, workload: &str) -> Found {
    let name = format!("eu-1/shop/Deployment/{workload}");
    (advisory.to_owned(), component.to_owned(), fixed.map(str::to_owned), name)
}

#[tokio::test]
async fn a_new_advisory_names_every_workload_that_runs_the_bad_version() {
    let world = World::new();
    let old = world.provenance("shop", &[&lodash("4.17.20")]);
    world.admit("shop", "web", vec![old.clone()]);
    world.admit("shop", "cart", vec![old]);
    world.admit("fixed", "desk", vec![world.provenance("fixed", &[&lodash("4.17.21")])]);
    let list = bom("pkg:npm/lodash@4.17.19");
    world.admit("listed", "list", vec![sign(2, "listed", "https://cyclonedx.org/bom", &list)]);
    world.advise("other", &advisory("GHSA-other", "left-pad", "9.8.0", "HIGH", ""));
    let (nothing, exposed) = look(&world, Severity::High).await;
    assert_eq!((nothing, exposed.running, exposed.affected), (Vec::new(), 4, 0));
    assert!(exposed.untold.is_empty(), "{exposed:?}");

    let before = fingerprint(&[world.osv()]).unwrap();
    world.advise("new", &advisory("GHSA-new", "lodash", "4.17.21", "HIGH", ""));
    assert_ne!(fingerprint(&[world.osv()]).unwrap(), before);
    let (affected, exposed) = look(&world, Severity::High).await;
    let bad = "npm lodash 4.17.20";
    assert_eq!(
        affected,
        [
            found("GHSA-new", bad, Some("4.17.21"), "web"),
            found("GHSA-new", bad, Some("4.17.21"), "cart"),
            found("GHSA-new", "npm lodash 4.17.19", Some("4.17.21"), "list"),
        ]
    );
    assert_eq!((exposed.running, exposed.affected, exposed.below), (4, 3, 0));

    world.advise("new", &advisory("GHSA-new", "lodash", "4.17.21", "LOW", ""));
    let (none, exposed) = look(&world, Severity::High).await;
    assert_eq!((none.len(), exposed.below), (0, 2), "two artifacts have what is less bad");
    let withdrawn = r#""withdrawn":"2026-10-01T00:00:00Z","#;
    world.advise("new", &advisory("GHSA-new", "lodash", "4.17.21", "HIGH", withdrawn));
    let (none, exposed) = look(&world, Severity::Low).await;
    assert_eq!((none.len(), exposed.below), (0, 0), "its authors hold it to be wrong");
    // what nobody has rated, in a version that nobody can place, is no comfort
    world.admit("odd", "odd", vec![world.provenance("odd", &["pkg:npm/lodash@latest"])]);
    world.advise("new", &advisory("GHSA-new", "lodash", "4.17.21", "", ""));
    let (affected, _) = look(&world, Severity::Critical).await;
    assert!(affected.contains(&found("GHSA-new", "npm lodash latest", None, "odd")), "{affected:?}");
}

#[tokio::test]
async fn what_nobody_proved_is_not_clean() {
    let world = World::new();
    world.advise("new", &advisory("GHSA-new", "lodash", "4.17.21", "HIGH", ""));
    let bad = [lodash("4.17.20")];
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    let list = bom("pkg:npm/lodash@4.17.19");
    // a stranger's list, one about something else, provenance by who may not speak for the builder, a list of no package
    world.admit("a", "stranger", vec![sign(9, "a", "https://cyclonedx.org/bom", &list)]);
    world.admit("b", "elsewhere", vec![sign(2, "other", "https://cyclonedx.org/bom", &list)]);
    world.admit("c", "forged", vec![world.provenance_by(2, "c", &bad)]);
    world.admit("d", "files", vec![world.provenance("d", &["https://example.com/base.tar"])]);
    let (none, exposed) = look(&world, Severity::Low).await;
    assert_eq!(none, []);
    let unlisted = &exposed.untold[&NotTold::Unlisted];
    assert_eq!((unlisted.count, unlisted.named.len(), exposed.running), (4, 4, 4));
    assert_eq!(exposed.untold.len(), 1);
    // a signed list of another shape says that there is something nobody can read
    world.admit("e", "broken", vec![sign(2, "e", "https://cyclonedx.org/bom", r#"{"bomFormat":1}"#)]);
    let (_, exposed) = look(&world, Severity::Low).await;
    assert_eq!(exposed.untold[&NotTold::Unreadable].named[0].name, "eu-1/shop/Deployment/broken");
    // evidence that was taken away hides nothing silently
    let envelope = world.provenance("f", &bad);
    world.admit("f", "gone", vec![envelope.clone()]);
    assert_eq!(
        look(&world, Severity::Low).await.0,
        [found("GHSA-new", "npm lodash 4.17.20", Some("4.17.21"), "gone")]
    );
    world.remove_blobs();
    let (none, exposed) = look(&world, Severity::Low).await;
    assert_eq!(none, []);
    assert_eq!(exposed.untold[&NotTold::Lost].count, 6, "{exposed:?}");
}

#[tokio::test]
async fn a_dump_that_cannot_be_read_is_no_database() {
    let world = World::new();
    let wanted = advisory::Wanted::default();
    let empty = load(&[world.osv()], &wanted).unwrap_err();
    assert!(matches!(empty, DumpError::Empty));
    assert!(empty.to_string().contains("has no advisories; wanted OSV records"), "{empty}");
    let missing = load(&[world.osv().join("missing")], &wanted).unwrap_err().to_string();
    assert!(
        missing.starts_with("cannot read the database in ") && missing.ends_with("may read it"),
        "{missing}"
    );
    let torn = world.osv().join("all.zip");
    std::fs::write(&torn, b"PK, and no more").unwrap();
    let torn = load(&[torn], &wanted).unwrap_err().to_string();
    assert!(torn.contains("all.zip cannot be read: ") && torn.contains("half a database"), "{torn}");
    assert!(fingerprint(&[world.osv().join("missing")]).is_err());
}
