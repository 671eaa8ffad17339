use clap_complete::Shell;

use crate::error::{CliError, Done};
use crate::session::Session;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime completions bash > ~/.local/share/bash-completion/completions/runtime
  runtime completions zsh > ~/.zfunc/_runtime
  runtime completions fish > ~/.config/fish/completions/runtime.fish")]
pub(crate) struct Args {
    /// Shell to complete in
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(serde::Serialize)]
struct CompletionsDoc {
    shell: String,
    script: String,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::command(), "runtime", &mut script);
    let document =
        CompletionsDoc { shell: args.shell.to_string(), script: String::from_utf8_lossy(&script).into_owned() };
    session.out.result(&document, |document, _| document.script.clone())?;
    Ok(Done::All)
}
