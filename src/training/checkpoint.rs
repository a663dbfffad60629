//! Everything a run needs to go on as if nothing had happened: weights, moments, averages, the best weights, and the
//! place in the data. Random draws need no state: they are functions of seed and step.

use super::TrainingError;
use super::average::Average;
use super::optimizer::Optimizer;
use super::parameters::Parameters;
use super::stopping::Stopping;
use crate::bundle::Weights;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Result as IoResult, Write};
use std::path::Path;

/// Where a run stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Progress {
    /// Epochs done.
    pub(super) epoch: usize,
    /// Batches done in the epoch that is under way.
    pub(super) batch: usize,
    pub(super) stopping: Stopping,
    pub(super) average: Option<Average>,
}

#[derive(Serialize, Deserialize)]
struct State {
    fingerprint: String,
    step: usize,
    epoch: usize,
    batch: usize,
    stopping: Stopping,
    averaged: usize,
}

const STATE: &str = "state.json";
const TENSORS: &str = "tensors.safetensors";

/// Extension of the folder that a checkpoint is written to, and of the one that holds the last while they change places.
const NEXT: &str = "next";
const OLD: &str = "old";

/// Writes a checkpoint beside the last one and then puts it in its place. From the first on there is always a whole one
/// on disk, under one of the three names that [`load`] looks at.
pub(super) fn save(
    folder: &Path,
    fingerprint: &str,
    parameters: &Parameters,
    optimizer: &Optimizer,
    progress: &Progress,
    best: &Weights,
) -> Result<(), TrainingError> {
    let fail = |path: &Path, e: &dyn ToString| TrainingError::Checkpoint {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for (parameter, moments) in parameters.0.iter().zip(&optimizer.moments) {
        let (name, shape) = (&parameter.name, parameter.var.shape());
        let tensor = |values: &[f32]| Tensor::from_slice(values, shape, &Device::Cpu);
        tensors.insert(format!("weight/{name}"), parameter.var.as_detached_tensor());
        tensors.insert(format!("first/{name}"), tensor(&moments.first)?);
        tensors.insert(format!("second/{name}"), tensor(&moments.second)?);
        if let Some(average) = &progress.average {
            tensors.insert(format!("average/{name}"), tensor(&average.means[name])?);
        }
    }
    for (name, tensor) in best.tensors() {
        tensors.insert(format!("best/{name}"), tensor);
    }
    let state = State {
        fingerprint: fingerprint.to_owned(),
        step: optimizer.step,
        epoch: progress.epoch,
        batch: progress.batch,
        stopping: progress.stopping.clone(),
        averaged: progress.average.as_ref().map_or(0, |a| a.count),
    };
    let (next, old) = (folder.with_extension(NEXT), folder.with_extension(OLD));
    let write = || -> IoResult<()> {
        // After a cut, `next` or `old` may be the only whole one: it becomes the last before anything is removed.
        if whole(folder).is_none()
            && let Some(last) = [&next, &old].into_iter().find(|place| whole(place).is_some())
        {
            remove(folder)?;
            std::fs::rename(last, folder)?;
        }
        remove(&next)?;
        std::fs::create_dir_all(&next)?;
        candle_core::safetensors::save(&tensors, next.join(TENSORS)).map_err(std::io::Error::other)?;
        File::options().write(true).open(next.join(TENSORS))?.sync_all()?;
        // Last, and after the tensors have reached the disk: where it can be read, the checkpoint is whole.
        let mut file = File::create(next.join(STATE))?;
        file.write_all(&serde_json::to_vec_pretty(&state)?)?;
        file.sync_all()?;
        sync_folder(&next)?;
        remove(&old)?;
        if folder.exists() {
            std::fs::rename(folder, &old)?;
        }
        std::fs::rename(&next, folder)?;
        folder.parent().map_or(Ok(()), sync_folder)?;
        remove(&old)
    };
    write().map_err(|e| fail(folder, &e))
}

/// The state of a checkpoint that was written to its end.
fn whole(folder: &Path) -> Option<State> {
    serde_json::from_slice(&std::fs::read(folder.join(STATE)).ok()?).ok()
}

fn remove(folder: &Path) -> IoResult<()> {
    if folder.exists() { std::fs::remove_dir_all(folder) } else { Ok(()) }
}

/// Brings the names in a folder to the disk.
fn sync_folder(folder: &Path) -> IoResult<()> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // Elsewhere folders cannot be opened, and names are kept by the journal.
    if cfg!(unix) { File::open(here)?.sync_all() } else { Ok(()) }
}

/// Reads the checkpoint in `folder` into parameters and optimiser, or the one that a cut has left beside it; `None` if
/// there is none.
pub(super) fn load(
    folder: &Path,
    fingerprint: &str,
    parameters: &Parameters,
    optimizer: &mut Optimizer,
) -> Result<Option<(Progress, Weights)>, TrainingError> {
    let places = [folder.to_owned(), folder.with_extension(NEXT), folder.with_extension(OLD)];
    let Some((folder, state)) = places.iter().find_map(|place| Some((place.as_path(), whole(place)?))) else {
        return match folder.join(STATE) {
            path if path.exists() => Err(TrainingError::Checkpoint { path, reason: "it is damaged".into() }),
            _ => Ok(None),
        };
    };
    let fail = |reason: String| TrainingError::Checkpoint { path: folder.join(TENSORS), reason };
    if state.fingerprint != fingerprint {
        let reason = format!("it was made with\n  {}\nand this run has\n  {fingerprint}", state.fingerprint);
        return Err(TrainingError::ForeignCheckpoint { folder: folder.to_owned(), reason });
    }
    let mut tensors = candle_core::safetensors::load(folder.join(TENSORS), &Device::Cpu)?;
    let mut take = |name: String| tensors.remove(&name).ok_or_else(|| fail(format!("`{name}` is missing")));
    let flat = |tensor: Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let mut means = BTreeMap::new();
    let mut best = BTreeMap::new();
    for (parameter, moments) in parameters.0.iter().zip(&mut optimizer.moments) {
        let name = &parameter.name;
        parameter.var.set(&take(format!("weight/{name}"))?)?;
        moments.first = flat(take(format!("first/{name}"))?)?;
        moments.second = flat(take(format!("second/{name}"))?)?;
        if state.averaged > 0 {
            means.insert(name.clone(), flat(take(format!("average/{name}"))?)?);
        }
        best.insert(name.clone(), take(format!("best/{name}"))?);
    }
    optimizer.step = state.step;
    let average = (state.averaged > 0).then_some(Average { count: state.averaged, means });
    let progress = Progress { epoch: state.epoch, batch: state.batch, stopping: state.stopping, average };
    Ok(Some((progress, Weights::from_tensors(best))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::TrainingConfig;
    use std::fs;

    /// Writes, or reads, a checkpoint of one tensor.
    struct Run {
        parameters: Parameters,
        optimizer: Optimizer,
    }

    impl Run {
        fn new() -> Self {
            let tensor = Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap();
            let weights = Weights::from_tensors([("bert.x.bias".to_owned(), tensor)].into());
            let parameters = Parameters::new(&weights).unwrap();
            let optimizer = Optimizer::new(&parameters, &TrainingConfig::default(), 1);
            Self { parameters, optimizer }
        }

        fn save(&mut self, folder: &Path, step: usize) {
            self.optimizer.step = step;
            let best = self.parameters.snapshot().unwrap();
            save(folder, "", &self.parameters, &self.optimizer, &Progress::default(), &best).unwrap();
        }

        /// The step that a new run would go on from.
        fn load(folder: &Path) -> Option<usize> {
            let mut run = Self::new();
            load(folder, "", &run.parameters, &mut run.optimizer).unwrap().map(|_| run.optimizer.step)
        }
    }

    #[test]
    fn a_cut_at_any_point_of_saving_leaves_a_whole_checkpoint() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("checkpoint");
        let (next, old) = (folder.with_extension(NEXT), folder.with_extension(OLD));
        assert_eq!(Run::load(&folder), None);

        fs::create_dir(&next).unwrap();
        fs::write(next.join(STATE), "{\"finger").unwrap();
        assert_eq!(Run::load(&folder), None, "the first was cut while it was written");

        let mut run = Run::new();
        run.save(&folder, 1);
        assert_eq!(Run::load(&folder), Some(1));
        assert!(!next.exists() && !old.exists());

        fs::rename(&folder, &old).unwrap();
        assert_eq!(Run::load(&folder), Some(1), "the last is out of its place, the next not yet in it");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(STATE), "").unwrap();
        assert_eq!(Run::load(&folder), Some(1), "the file under the right name is damaged");

        run.save(&folder, 2);
        assert_eq!(Run::load(&folder), Some(2));
        fs::rename(&folder, &next).unwrap();
        assert_eq!(Run::load(&folder), Some(2));
        run.save(&folder, 3);
        assert_eq!(Run::load(&folder), Some(3));
        assert!(!next.exists() && !old.exists());
    }

    #[test]
    fn a_damaged_checkpoint_is_named() {
        let home = tempfile::tempdir().unwrap();
        let mut run = Run::new();
        fs::write(home.path().join(STATE), "{").unwrap();
        let error = load(home.path(), "", &run.parameters, &mut run.optimizer).unwrap_err();
        assert!(error.to_string().contains("state.json: it is damaged"), "{error}");
    }
}
