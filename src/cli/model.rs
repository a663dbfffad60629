//! Which model a command works with: a folder, or one of the hub that is fetched once.

use crate::cli::batch::Arithmetic;
use crate::cli::{logging, misuse};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use undertone::bundle::Bundle;
use undertone::engine::{DeviceChoice, Engine, EngineError};
use undertone::hub::{Hub, HubError, ModelId, Planned, Progress, Settings};

/// The folder that a `--model` means: itself if it is there, else that of a model of the hub, fetched if need be.
pub(crate) fn folder(model: &Path) -> anyhow::Result<PathBuf> {
    match place(model)? {
        Place::Folder(folder) => Ok(folder),
        Place::Hub(id) => {
            let hub = hub()?;
            let bars = Bars::new(hub.settings());
            let folder = hub.folder(&id, &bars);
            bars.clear();
            Ok(folder?)
        }
    }
}

/// The folder of a `--model` that may be left out.
pub(crate) fn optional_folder(model: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    model.map(folder).transpose()
}

/// The engine on the device that was asked for.
pub(crate) fn engine(
    folder: Option<&Path>,
    device: DeviceChoice,
    precision: Arithmetic,
) -> anyhow::Result<Engine> {
    let device = device.open().map_err(|error| misuse(error.to_string()))?;
    let bundle = folder.map_or_else(Bundle::embedded, Bundle::open)?;
    let precision = precision.resolved(&bundle.description, device.is_cpu());
    Engine::on(bundle, device, precision).map_err(|error| match error {
        EngineError::Cpu(error) => misuse(error),
        error => error.into(),
    })
}

/// Where a model is, by what it is called.
pub(crate) enum Place {
    Folder(PathBuf),
    Hub(ModelId),
}

/// Tells folders from ids. What is there is a folder; what has the form of a path is never asked for on the hub.
pub(crate) fn place(model: &Path) -> anyhow::Result<Place> {
    if model.exists() {
        return Ok(Place::Folder(model.to_owned()));
    }
    let nowhere = || format!("{}: there is no such folder", model.display());
    match model.to_str() {
        Some(text) if !ModelId::is_path_like(text) => match text.parse() {
            Ok(id) => Ok(Place::Hub(id)),
            Err(error) => Err(misuse(format!("{}, and {error}", nowhere()))),
        },
        _ => Err(misuse(nowhere())),
    }
}

/// An id as it was typed.
pub(crate) fn id(text: &str) -> anyhow::Result<ModelId> {
    text.parse().map_err(|error: HubError| misuse(error.to_string()))
}

/// The hub as the environment describes it.
pub(crate) fn hub() -> anyhow::Result<Hub> {
    Ok(Hub::new(Settings::from_env().map_err(|error| misuse(error.to_string()))?))
}

/// Progress bars on standard error, if it is a terminal: one a file, and one for all.
pub(crate) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    files: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Bars {
    pub(crate) fn new(settings: &Settings) -> Self {
        let shown = settings.progress && !logging::quiet();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let all = MultiProgress::with_draw_target(target);
        let total = all.add(ProgressBar::new(0).with_style(style("total")));
        Self { all, total, files: Mutex::default() }
    }

    pub(crate) fn clear(&self) {
        // Bars that cannot be taken off a terminal do no harm.
        let _ = self.all.clear();
    }

    fn with(&self, file: &str, change: impl FnOnce(&ProgressBar)) {
        let files = self.files.lock().expect("no bar panics");
        if let Some(bar) = files.get(file) {
            change(bar);
        }
        self.total.set_position(files.values().map(ProgressBar::position).sum());
    }
}

fn style(name: &str) -> ProgressStyle {
    let name = name.replace('{', "{{").replace('}', "}}");
    let template = format!(
        "{name:<32.32} {{bar:24}} {{decimal_bytes:>10}}/{{decimal_total_bytes:<10}} {{decimal_bytes_per_sec:>12}} {{msg}}"
    );
    ProgressStyle::with_template(&template).expect("the template is well-formed")
}

impl Progress for Bars {
    fn planned(&self, planned: &[Planned]) {
        let mut files = self.files.lock().expect("no bar panics");
        for Planned { file, size } in planned {
            let bar = ProgressBar::new(size.unwrap_or_default()).with_style(style(file));
            self.total.inc_length(size.unwrap_or_default());
            files.insert(file.clone(), self.all.insert_before(&self.total, bar));
        }
    }

    fn reached(&self, file: &str, bytes: u64) {
        self.with(file, |bar| bar.set_position(bytes));
    }

    fn waiting(&self, file: &str) {
        self.with(file, |bar| bar.set_message("another process fetches it"));
    }

    fn retrying(&self, file: &str, error: &HubError, wait: Duration) {
        let error = error.to_string();
        let reason = error.lines().next().unwrap_or_default();
        self.all.suspend(|| {
            tracing::info!("{file}: {reason}; the next try is in {:.1} s", wait.as_secs_f64());
        });
    }

    fn finished(&self, file: &str) {
        self.with(file, |bar| {
            bar.set_message("");
            bar.finish();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_there_go_before_ids_and_paths_are_never_ids() {
        assert!(matches!(place(Path::new("src")).unwrap(), Place::Folder(_)));
        assert!(matches!(place(Path::new("owner/name@v1")).unwrap(), Place::Hub(_)));
        assert!(matches!(place(Path::new("bert-base-uncased")).unwrap(), Place::Hub(_)));
        for path in ["./nowhere", "/nowhere", "no/where/at-all", "../x", "nowhere/", "a/..", "a b"] {
            let error = place(Path::new(path)).map(drop).unwrap_err().to_string();
            assert!(error.contains("no such folder"), "{path}: {error}");
        }
    }
}
