//! Panics of crates below us, on what a file says.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What some work answers, or what it said when it panicked. Nothing that the work could have left half done may be used
/// behind that.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("it is not what its format calls for ({})", said.unwrap_or("no reason is given"))
    })
}
