//! How many threads candle's own operations take.

#![allow(unsafe_code)]

/// candle reads it once, before its first large operation.
const VARIABLE: &str = "CANDLE_NUM_THREADS";

/// Keeps candle's own operations on the thread that calls them; call it first thing in `main`.
///
/// The engine and the trainer keep every core busy with a thread each. candle would besides spread each of its
/// element-wise operations over a pool that serves one caller at a time and waits spinning: training on two cores loses
/// a third of its speed to it. The pool's size can be set by an environment variable alone, and before its first use.
///
/// Does nothing where the variable is set already, or where this cannot be done safely: in a process that has other
/// threads, or whose threads cannot be counted (other systems than Linux).
pub fn keep_operations_on_the_calling_thread() {
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if alone && std::env::var_os(VARIABLE).is_none() {
        // SAFETY: `set_var` must not run while another thread reads or writes the environment. This process has no
        // thread but this one, and none can begin before this one starts it.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}
