//! A build that a service runs: it ends when the service does, and always tells how far it is.

use std::io::Read as _;

/// For builds that a service starts
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Served {
    /// Run as a service's child: end at once when standard input closes, and tell progress in every format
    #[arg(long, hide = true)]
    served: bool,
}

impl Served {
    /// Whether a service runs this build.
    pub(crate) fn is_served(&self) -> bool {
        self.served
    }

    /// Ends this process group when standard input closes. A service that is killed cannot say so any more; the kernel
    /// closes its end of the pipe all the same, whichever of its threads started this process.
    pub(crate) fn watch(&self) {
        if self.served {
            std::thread::spawn(|| {
                let mut byte = [0];
                let mut input = std::io::stdin();
                while input.read(&mut byte).is_ok_and(|n| n > 0) {}
                rustix::process::kill_current_process_group(rustix::process::Signal::KILL).ok();
            });
        }
    }
}
