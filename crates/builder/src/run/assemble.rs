//! A build that is an image: no command, no sandbox, and a record that claims none.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use attest::yaml::LoadError;
use jiff::Timestamp;

use super::{Finished, Run, records};
use crate::chain::Chain;
use crate::collect::Output;
use crate::definition::Image;
use crate::image::{self, ImageError, Part};
use crate::orchestrate::{BuildError, Orchestrator, Step};
use crate::stage::obtain;
use crate::store::hash_file;

impl Run<'_> {
    /// Puts the image together, and takes it as the one output.
    pub(super) fn assemble(
        &self,
        image: &Image,
        started: Timestamp,
        now: &impl Fn() -> Timestamp,
        progress: &mut impl FnMut(Step),
        log: &Path,
    ) -> Result<Finished, BuildError> {
        progress(Step::Inputs);
        let Orchestrator { store, fetcher, trust, .. } = *self.orchestrator;
        let chain = Chain { trust, now: started };
        let (mut parts, mut proven) = (Vec::new(), Vec::new());
        for input in self.plan.inputs.iter().filter(|i| image.holds(&i.name)) {
            let (path, proof) = obtain(input, store, fetcher, chain)?;
            proven.extend(proof);
            parts.push(Part { input, path });
        }
        progress(Step::Outputs);
        let output = self.output(image, &parts)?;
        let said = format!("assembled {} ({}) of {} inputs\n", output.name, output.digest, parts.len());
        fs::write(log, said).map_err(|e| BuildError::Io(log.to_owned(), e))?;
        let epoch = ("SOURCE_DATE_EPOCH".to_owned(), self.plan.epoch.to_string());
        let provenance = self.provenance(&proven, None, vec![epoch], (started, now()));
        let outputs = vec![output];
        let records = records(&outputs, &provenance);
        Ok((outputs, records))
    }

    fn output(&self, image: &Image, parts: &[Part<'_>]) -> Result<Output, BuildError> {
        let own = self.work.join("outputs");
        let failed = |e| BuildError::Io(own.clone(), e);
        fs::create_dir(&own).map_err(failed)?;
        fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let [path] = self.plan.target.outputs.as_slice() else {
            let error =
                LoadError::new(&image.place, "an image is one output").fix("write outputs: [shop.oci.tar]");
            return Err(BuildError::Definition(vec![error]));
        };
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        let (file, layer) = (own.join(&name), own.join(".layer"));
        let limit = self.plan.target.action.limits.disk;
        image::assemble(image, parts, self.plan.epoch, limit, (&file, &layer)).map_err(|e| match e {
            ImageError::Definition(e) => BuildError::Definition(vec![e]),
            ImageError::Io(path, e) => BuildError::Io(path, e),
        })?;
        fs::remove_file(&layer).map_err(failed)?;
        let digest = hash_file(&file).map_err(BuildError::Input)?;
        Ok(Output { name, digest, file })
    }
}
