//! The `frostline` program; see [`frostline::cli`].

fn main() -> std::process::ExitCode {
    frostline::cli::main()
}
