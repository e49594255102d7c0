//! What `serve` asks of advisories: a new dump is noticed, one that cannot be read is told, and the one before it still counts.

#[path = "../../inventory/tests/world/mod.rs"]
mod world;

use attest::claims::Severity;
use attest::yaml::{Fields, Node, Problems};
use attest::{Directly, LoadError};
use inventory::Inventory;
use inventory::audit::{Gathered, OnRecord};
use server::advisories::{Advisories, Config, LookError, Looked, Under};
use tlog::{Blobs, Files, Reader};
use world::{World, advisory, at, lodash};

async fn look(world: &World, inventory: &Inventory, asked: &mut Advisories) -> Result<Looked, LookError> {
    let files = Files::new(&world.log());
    let (reader, blobs) = (Reader::new(&files, world.size()), Blobs::new(&files));
    let kept = Blobs::new(files.clone());
    let evidence = OnRecord(&kept);
    let mut gathered = Gathered::default();
    gathered.take_in(inventory, &reader, &blobs, &evidence).await.unwrap();
    let root = world::root();
    asked
        .look(
            inventory,
            &gathered,
            Under { root: &root, at: at(100), opener: &Directly, evidence: &evidence },
        )
        .await
}

#[tokio::test]
async fn a_new_dump_is_noticed_and_one_that_is_gone_does_not_hide_the_one_before() {
    let world = World::new();
    world.admit("shop", "web", vec![world.provenance("shop", &[&lodash("4.17.20")])]);
    let inventory = world.inventory().await;
    let config = Config { advisories: vec![world.osv()], worst: Severity::High };
    let mut asked = Advisories::new(config);
    let none = look(&world, &inventory, &mut asked).await.unwrap_err();
    assert!(none.to_string().contains("has no advisories"), "{none}");
    world.advise("other", &advisory("GHSA-other", "left-pad", "1.0.0", "HIGH", ""));
    assert_eq!(look(&world, &inventory, &mut asked).await.unwrap().affected, []);
    world.advise("new", &advisory("GHSA-new", "lodash", "4.17.21", "HIGH", ""));
    let looked = look(&world, &inventory, &mut asked).await.unwrap();
    let one = &looked.affected[0];
    assert_eq!((looked.affected.len(), one.workload.as_str()), (1, "eu-1/shop/Deployment/web"));
    assert_eq!((one.advisory.as_str(), one.component.as_str()), ("GHSA-new", "npm lodash"));
    assert_eq!((one.installed.as_deref(), one.fixed.as_deref()), (Some("4.17.20"), Some("4.17.21")));
    assert_eq!((one.severity, one.is_certain, one.record), (Severity::High, true, Some(2)));
    assert!(looked.stale.is_none());

    std::fs::remove_dir_all(world.osv()).unwrap();
    let stale = look(&world, &inventory, &mut asked).await.unwrap();
    assert_eq!(stale.affected.len(), 1);
    assert!(stale.stale.unwrap().to_string().contains("cannot read the database"));
}

fn read(text: &str) -> Result<Config, Vec<LoadError>> {
    let node = Node::parse("serve.yaml", text).map_err(|e| vec![e])?;
    let mut problems = Problems::new();
    let config = Fields::read(&node, "`verify`", &Config::KEYS, &mut problems)
        .and_then(|fields| Config::read(&fields, &mut problems));
    problems.finish(config)
}

#[test]
fn the_two_keys_are_read() {
    let config = read("advisories: [npm.zip, debian]\nworst: critical\n").unwrap();
    assert_eq!((config.advisories.len(), config.worst), (2, Severity::Critical));
    assert_eq!(read("advisories: [npm.zip]\n").unwrap().worst, Severity::High);
    for bad in ["none", "bad", "negligible"] {
        let errors = read(&format!("advisories: [npm.zip]\nworst: {bad}\n")).unwrap_err();
        assert_eq!(errors[0].wanted.as_deref(), Some("low, medium, high or critical"), "{bad}");
    }
    assert!(read("advisories: npm.zip\n").is_err());
}
