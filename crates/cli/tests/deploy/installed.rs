//! Archives become releases: whole or not at all, switched in one step, and nothing of them is outside of their folder.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::world::World;

/// A tar of what is in a folder.
fn pack(world: &World, folder: &str, out: &str, flags: &[&str]) {
    let mut tar = Command::new("tar");
    tar.args(flags).args(["-cf", &world.text(out), "--sort=name", "--mtime=@0", "-C"]).arg(world.at(folder));
    assert!(tar.arg(".").status().unwrap().success());
}

fn release(world: &World, name: &str, version: &str) {
    let folder = world.at(&format!("{name}.d"));
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::write(folder.join("version"), version).unwrap();
    fs::write(folder.join("bin/shop"), format!("#!/bin/sh\necho {version}\n")).unwrap();
    let script = folder.join("bin/shop");
    assert!(Command::new("chmod").args(["4775", script.to_str().unwrap()]).status().unwrap().success());
    symlink("bin/shop", folder.join("shop")).ok();
    symlink("../version", folder.join("bin/version")).ok();
    pack(world, &format!("{name}.d"), name, &["-z"]);
    world.vouched(name);
}

fn current(world: &World) -> String {
    fs::read_link(world.at("srv/current")).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_release_is_switched_to_in_one_step_and_the_command_comes_after() {
    let world = World::new();
    release(&world, "one.tar.gz", "1");
    release(&world, "two.tar.gz", "2");
    let run = ["sh", "-c", "cat {}/version; readlink srv/current", "x"];
    let text = world.deploy(0, "one.tar.gz", &["--install", "srv"], &run);
    let one = current(&world);
    assert!(text.contains(&format!("1{one}\n")), "{text}");
    let shop = world.at("srv/current/bin/shop");
    assert_eq!(fs::metadata(&shop).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_to_string(world.at("srv/current/bin/version")).unwrap(), "1");
    world.deploy(0, "two.tar.gz", &["--install", "srv"], &[]);
    assert_ne!(current(&world), one);
    assert_eq!(fs::read_to_string(world.at("srv/current/version")).unwrap(), "2");
    // going back is a decision too; and what somebody changed in it since is gone
    fs::write(world.at("srv").join(&one).join("version"), "evil").unwrap();
    fs::write(world.at("srv").join(&one).join("more"), "evil").unwrap();
    world.deploy(0, "one.tar.gz", &["--install", "srv"], &[]);
    assert_eq!(
        (current(&world), fs::read_to_string(world.at("srv/current/version")).unwrap()),
        (one.clone(), "1".into())
    );
    assert!(!world.at("srv/current/more").exists());
    // a refusal switches nothing; so does an admitted archive that is none; the command's status is ours
    fs::rename(world.at("two.tar.gz"), world.at("one.tar.gz")).unwrap();
    let text = world.deploy(1, "one.tar.gz", &["--install", "srv"], &["touch", "ran"]);
    assert!(text.contains("error[evidence-applies]") && !world.at("ran").exists(), "{text}");
    world.good("none.tar", b"this is no archive");
    let text = world.deploy(2, "none.tar", &["--install", "srv"], &["touch", "ran"]);
    assert!(text.contains("nothing was switched") && !world.at("ran").exists(), "{text}");
    world.good("empty.tar", &[]);
    let text = world.deploy(2, "empty.tar", &["--install", "srv"], &[]);
    assert!(text.contains("there is nothing in it"), "{text}");
    assert_eq!(current(&world), one);
    let left = fs::read_dir(world.at("srv/releases")).unwrap().count();
    assert_eq!(left, 2, "what was half unpacked is gone");
}

#[test]
fn no_entry_is_anywhere_but_in_its_release() {
    let world = World::new();
    let outside = world.at("outside");
    fs::create_dir(&outside).unwrap();
    let entry = |kind: tar::EntryType, name: &[u8], link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(u64::try_from(content.len()).unwrap());
        if !link.is_empty() {
            header.set_link_name_literal(link).unwrap();
        }
        header.set_cksum();
        (header, content.to_vec())
    };
    use tar::EntryType::{Block, Link, Regular, Symlink};
    let there = outside.to_str().unwrap();
    let up = b"../../../outside/x";
    for (name, entries, word) in [
        ("up", vec![entry(Regular, up, "", b"x")], "leads out of the archive"),
        ("absolute", vec![entry(Regular, b"/outside-x", "", b"x")], "leads out of the archive"),
        ("link", vec![entry(Symlink, b"a", there, b"")], "may lead out"),
        ("chain", vec![entry(Symlink, b"a", "b/../../../outside", b"")], "may lead out"),
        ("parents", vec![entry(Symlink, b"d/a", "../../outside", b"")], "may lead out"),
        ("through", vec![entry(Symlink, b"a", "b", b""), entry(Regular, b"a/x", "", b"x")], ""),
        ("over", vec![entry(Symlink, b"a", "b", b""), entry(Regular, b"a", "", b"x")], "File exists"),
        ("twice", vec![entry(Regular, b"a", "", b"x"), entry(Regular, b"a", "", b"y")], "File exists"),
        ("hard", vec![entry(Link, b"a", "/etc/passwd", b"")], "a hard link"),
        ("device", vec![entry(Block, b"a", "", b"")], "neither a file, a folder nor a link"),
    ] {
        let mut archive = tar::Builder::new(Vec::new());
        for (header, content) in entries {
            archive.append(&header, content.as_slice()).unwrap();
        }
        world.good(name, &archive.into_inner().unwrap());
        let text = world.deploy(2, name, &["--install", "srv"], &[]);
        assert!(text.contains("nothing was switched") && text.contains(word), "{name}: {text}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!Path::new("/outside-x").exists() && !world.at("srv/current").exists());
    assert_eq!(fs::read_dir(world.at("srv/releases")).unwrap().count(), 0);
    // one that was cut
    fs::create_dir(world.at("d")).unwrap();
    fs::write(world.at("d/large"), vec![7; 1 << 20]).unwrap();
    pack(&world, "d", "whole.tar", &[]);
    let whole = fs::read(world.at("whole.tar")).unwrap();
    world.good("cut.tar", &whole[..whole.len() / 2]);
    let text = world.deploy(2, "cut.tar", &["--install", "srv"], &[]);
    assert!(text.contains("nothing was switched"), "{text}");
}
