//! The splits of a corpus, as they are named on the command line.

use super::told::present;
use std::path::PathBuf;
use undertone::datasets::Split;

#[derive(clap::Args)]
pub(super) struct SplitArgs {
    /// Labelled files, each a split of its own; the first is what models learn from
    #[arg(value_name = "FILE", required_unless_present_any = ["train", "dev", "test"], conflicts_with_all = ["train", "dev", "test"])]
    files: Vec<PathBuf>,
    /// Files that models learn from, together one split
    #[arg(long, value_name = "FILE", num_args = 1..)]
    train: Vec<PathBuf>,
    /// Files that models are tuned on, together one split
    #[arg(long, value_name = "FILE", num_args = 1..)]
    dev: Vec<PathBuf>,
    /// Files that models are tested on, together one split
    #[arg(long, value_name = "FILE", num_args = 1..)]
    test: Vec<PathBuf>,
}

impl SplitArgs {
    /// The splits in order; all their files are there.
    pub(super) fn resolve(self) -> anyhow::Result<Vec<Split>> {
        let Self { files, train, dev, test } = self;
        let roles = [("train", train), ("dev", dev), ("test", test)];
        let roles = roles.into_iter().filter(|(_, files)| !files.is_empty());
        let single =
            files.into_iter().map(|file| Split { name: file.display().to_string(), files: vec![file] });
        let splits: Vec<Split> =
            single.chain(roles.map(|(name, files)| Split { name: name.to_owned(), files })).collect();
        present(splits.iter().flat_map(|split| &split.files))?;
        Ok(splits)
    }
}
