//! An OCI image layout in a tar: one image, with every blob checked against the digest that names it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Take};
use std::path::Path;
use std::time::Instant;

use attest::digest::Hasher;
use attest::json::ShapeError;
use attest::{Digest, Json, Object};

use crate::root::{Meter, PATIENCE};

/// An image's index, manifest or configuration is a page.
const MAX_DOCUMENT: u64 = 4 << 20;
/// A layout has a blob for each layer and a handful more.
const MAX_ENTRIES: usize = 10_000;
/// Other programs take fewer.
const MAX_LAYERS: usize = 256;
/// What stands at the top of a layout; the last two are for programs older than it.
const TOP: [&str; 5] = ["", "oci-layout", "index.json", "manifest.json", "repositories"];

/// A blob and where it stands in the tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) media_type: String,
    offset: u64,
}

/// One image.
#[derive(Debug)]
pub(crate) struct Layout {
    file: File,
    /// Its configuration.
    pub(crate) config: Blob,
    /// Its layers, the lowest first.
    pub(crate) layers: Vec<Blob>,
}

impl Layout {
    /// Reads the image; nothing where the tar is no layout at all.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn open(file: &File) -> Result<Option<Self>, String> {
        let text = |e: io::Error| e.to_string();
        let file = file.try_clone().map_err(text)?;
        let no_tar = |e: io::Error| format!("it is no tar that can be read: {e}");
        let Some(entries) = entries(&file).map_err(no_tar)? else { return Ok(None) };
        let (Some(index), Some(_)) = (entries.get("index.json"), entries.get("oci-layout")) else {
            return Ok(None);
        };
        let index = document(&file, *index)?;
        let wrong = |e: ShapeError| format!("its image index is wrong: {e}");
        let manifests = index.array("manifests").map_err(wrong)?;
        let [manifest] = manifests else {
            return Err(format!("it holds {} images, and one is wanted", manifests.len()));
        };
        let mut known = BTreeMap::new();
        let mut blob = |descriptor: &Json| blob(&file, &entries, &mut known, descriptor);
        let manifest = blob(manifest)?;
        if manifest.media_type.ends_with("index.v1+json") || manifest.media_type.ends_with("list.v2+json") {
            return Err("it is for several platforms, and one is wanted".to_owned());
        }
        let manifest = document(&file, (manifest.offset, manifest.size))?;
        let wrong = |e: ShapeError| format!("its manifest is wrong: {e}");
        let config = manifest.get("config").ok_or_else(|| "its manifest names no config".to_owned())?;
        let config = blob(config)?;
        let layers = manifest.array("layers").map_err(wrong)?;
        if layers.len() > MAX_LAYERS {
            return Err(format!("it has {} layers, and {MAX_LAYERS} are allowed", layers.len()));
        }
        let layers = layers.iter().map(blob).collect::<Result<_, _>>()?;
        Ok(Some(Self { file, config, layers }))
    }

    /// The bytes of a blob. One is read at a time.
    pub(crate) fn read(&self, blob: &Blob) -> io::Result<Take<File>> {
        part(&self.file, (blob.offset, blob.size))
    }

    /// The image's configuration.
    pub(crate) fn configuration(&self) -> Result<Object, String> {
        document(&self.file, (self.config.offset, self.config.size))
    }
}

/// The environment that an image's own process gets.
pub(crate) fn environment(path: &Path) -> Result<Vec<(String, String)>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let layout = Layout::open(&file)?.ok_or_else(|| "it is no OCI image layout".to_owned())?;
    let configuration = layout.configuration()?;
    let wrong = |e: ShapeError| format!("its configuration is wrong: {e}");
    let Some(settings) = configuration.optional_object("config").map_err(wrong)? else {
        return Ok(Vec::new());
    };
    let mut environment = Vec::new();
    for pair in settings.optional_array("Env").map_err(wrong)? {
        let (name, value) = pair.as_str().map_err(wrong)?.split_once('=').unwrap_or_default();
        if !name.is_empty() {
            environment.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(environment)
}

/// Where each entry's bytes stand; nothing where something stands there that no layout has.
fn entries(file: &File) -> io::Result<Option<BTreeMap<String, (u64, u64)>>> {
    let mut file = file.try_clone()?;
    file.rewind()?;
    let mut found = BTreeMap::new();
    let meter = Meter::until(Instant::now() + PATIENCE);
    let mut archive = tar::Archive::new(meter.reader(file));
    let mut entries = archive.entries_with_seek()?;
    for count in 0.. {
        meter.seek_entry()?;
        let Some(entry) = entries.next() else { break };
        let entry = entry?;
        let name = entry.path()?.display().to_string();
        let name = name.trim_start_matches("./").trim_end_matches('/').to_owned();
        // a root file system has none of these names at its top; an image layout has nothing else
        if count > MAX_ENTRIES
            || !(TOP.contains(&name.as_str()) || name == "blobs" || name.starts_with("blobs/"))
        {
            return Ok(None);
        }
        found.insert(name, (entry.raw_file_position(), entry.size()));
    }
    Ok(Some(found))
}

/// A blob that was hashed is `known`, however often it is named.
fn blob(
    file: &File,
    entries: &BTreeMap<String, (u64, u64)>,
    known: &mut BTreeMap<String, Digest>,
    descriptor: &Json,
) -> Result<Blob, String> {
    let wrong = |e: ShapeError| format!("a descriptor is wrong: {e}");
    let descriptor = descriptor.as_object().map_err(wrong)?;
    let digest = Digest::parse(descriptor.string("digest").map_err(wrong)?).map_err(|e| e.to_string())?;
    let at = entries.get(&format!("blobs/sha256/{}", digest.hex())).copied();
    let (offset, size) = at.ok_or_else(|| format!("it has no blob {digest}"))?;
    let found = match known.get(&digest.hex()) {
        Some(found) => found.clone(),
        None => hash(file, (offset, size)).map_err(|e| e.to_string())?,
    };
    known.insert(digest.hex(), found.clone());
    if found != digest {
        return Err(format!("its blob {digest} has another digest"));
    }
    if descriptor.int("size").ok().and_then(|s| u64::try_from(s).ok()) != Some(size) {
        return Err(format!("its blob {digest} has {size} bytes, and not as many as its descriptor says"));
    }
    let media_type = descriptor.optional_string("mediaType").map_err(wrong)?.unwrap_or_default().to_owned();
    Ok(Blob { digest, size, media_type, offset })
}

fn part(file: &File, (offset, size): (u64, u64)) -> io::Result<Take<File>> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(file.take(size))
}

fn document(file: &File, at: (u64, u64)) -> Result<Object, String> {
    let mut bytes = Vec::new();
    let part = part(file, at).map_err(|e| e.to_string())?;
    part.take(MAX_DOCUMENT).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let json = attest::json::parse(&bytes).map_err(|e| e.to_string())?;
    json.as_object().cloned().map_err(|e| e.to_string())
}

fn hash(file: &File, at: (u64, u64)) -> io::Result<Digest> {
    let mut stream = part(file, at)?;
    let mut hasher = Hasher::new(&[]);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    hasher.finish().first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_blob_is_hashed_once_however_often_it_is_named() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"blob").unwrap();
        let digest = Digest::sha256(b"blob");
        let entries = BTreeMap::from([(format!("blobs/sha256/{}", digest.hex()), (0, 4))]);
        let descriptor = Json::from(Object::new().with("digest", digest.to_string()).with("size", 4));
        let mut known = BTreeMap::new();
        let mut again = || blob(&file, &entries, &mut known, &descriptor);
        again().unwrap();
        (&file).rewind().unwrap();
        (&file).write_all(b"BLOB").unwrap();
        again().unwrap();
        known.clear();
        let refused = blob(&file, &entries, &mut known, &descriptor).unwrap_err();
        assert!(refused.contains("has another digest"), "{refused}");
    }
}
