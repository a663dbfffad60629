//! The `undertone` command.

mod cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    undertone::engine::keep_operations_on_the_calling_thread();
    cli::main()
}
