//! Hashes of files, which is how models and data are told apart.

use sha2::Digest;
use std::fs::File;
use std::io::{Read, Result};
use std::path::Path;

/// Adds the bytes of a file to a hash, without holding them all.
pub(crate) fn add_file<D: Digest>(hash: &mut D, path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// The finished hash in hexadecimal.
pub(crate) fn hexadecimal<D: Digest>(hash: D) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
