//! A server that runs until it is dropped.

use std::fs::File;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[path = "../tools/port.rs"]
mod port;

use port::free_port;

use crate::site::until;

pub struct Server {
    process: Child,
    pub port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // it may have children, which are of its group
        let group = format!("-{}", self.process.id());
        Command::new("kill").args(["-KILL", "--", &group]).status().ok();
        self.process.wait().ok();
    }
}

impl Server {
    /// Starts what listens at the port it is given; what it says goes to a file.
    pub fn start(said: &Path, command: impl FnOnce(u16) -> Command) -> Self {
        let port = free_port();
        let mut command = command(port);
        let said = File::create(said).unwrap();
        command.process_group(0).stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        let process = command.spawn().unwrap();
        until("the server does not listen", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { process, port }
    }
}
