//! hearth: a monitoring server that speaks Prometheus.

use std::process::ExitCode;

use net::cli::{self, Command};
use net::tools;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_else(|| "hearth".to_owned());
    let program = program.rsplit('/').next().unwrap_or("hearth").to_owned();
    let arguments: Vec<String> = arguments.collect();
    if tools::is_command(&arguments) {
        return tools::run(&program, &arguments);
    }
    match cli::parse(&arguments) {
        Ok(Command::Run(flags)) => net::run::run(*flags),
        Ok(Command::Help) => {
            print!("{}", cli::help(&program));
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            print!("{}", cli::version());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("{}", cli::refusal(&program, &error));
            ExitCode::FAILURE
        }
    }
}
