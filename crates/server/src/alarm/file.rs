//! Alarms at the end of a file, a line of JSON each.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use crate::alarm::{Notice, Tell};

/// A file that grows.
pub(super) struct Lines(PathBuf);

impl Lines {
    pub(super) fn new(file: PathBuf) -> Self {
        Self(file)
    }

    fn append(&self, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(&self.0)?;
        let length = file.metadata()?.len();
        let mut text = format!("{line}\n");
        if length == 0 {
            let folder = self.0.parent().filter(|p| !p.as_os_str().is_empty());
            File::open(folder.unwrap_or(std::path::Path::new(".")))?.sync_all()?;
        } else if last(&mut file)? != b'\n' {
            // what was cut off when the machine died stays a line of its own
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

fn last(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

impl Tell for Lines {
    fn tell(&mut self, notice: &Notice) -> Result<(), String> {
        let line = notice.to_json().to_string();
        self.append(&line).map_err(|e| format!("{} cannot be written: {e}", self.0.display()))
    }
}
