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

/// Writes a checkpoint beside the last one and then puts it in its place, so that there is always a whole one.
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
        tensors.insert(format!("best/{name}"), tensor.clone());
    }
    let state = State {
        fingerprint: fingerprint.to_owned(),
        step: optimizer.step,
        epoch: progress.epoch,
        batch: progress.batch,
        stopping: progress.stopping.clone(),
        averaged: progress.average.as_ref().map_or(0, |a| a.count),
    };
    let next = folder.with_extension("next");
    let write = || -> Result<(), std::io::Error> {
        if next.exists() {
            std::fs::remove_dir_all(&next)?;
        }
        std::fs::create_dir_all(&next)?;
        candle_core::safetensors::save(&tensors, next.join(TENSORS)).map_err(std::io::Error::other)?;
        std::fs::write(next.join(STATE), serde_json::to_vec_pretty(&state)?)?;
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::rename(&next, folder)
    };
    write().map_err(|e| fail(folder, &e))
}

/// Reads the checkpoint in `folder` into parameters and optimiser; `None` if there is none.
pub(super) fn load(
    folder: &Path,
    fingerprint: &str,
    parameters: &Parameters,
    optimizer: &mut Optimizer,
) -> Result<Option<(Progress, Weights)>, TrainingError> {
    // A cut between removing the old and renaming the new leaves the new one under its first name.
    let next = folder.with_extension("next");
    let folder =
        if !folder.join(STATE).exists() && next.join(STATE).exists() { next.as_path() } else { folder };
    let path = folder.join(STATE);
    if !path.exists() {
        return Ok(None);
    }
    let fail = |reason: String| TrainingError::Checkpoint { path: folder.join(TENSORS), reason };
    let json = std::fs::read(&path)
        .map_err(|e| TrainingError::Checkpoint { path: path.clone(), reason: e.to_string() })?;
    let state: State = serde_json::from_slice(&json)
        .map_err(|e| TrainingError::Checkpoint { path: path.clone(), reason: e.to_string() })?;
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
