//! The reference of the command line in `docs/cli.md`, written from what clap knows.

use std::fmt::Write as _;
use std::path::Path;

use crate::args::command;
use crate::groups::GROUPS;

const HEAD: &str = "# Command line reference

This page is written from the program itself; `BLESS=1 cargo test -p runtime reference` renews it.

Results go to standard output, everything else (progress, hints, warnings, what components print) to standard error. With
`-o json` standard output is exactly one JSON document, on failure too: `{\"error\": {\"kind\", \"code\", \"message\", \"hints\", \"component\"}}`.
Verbs that stream print one document per line.

## Exit codes

| code | kind | meaning |
|---|---|---|
| 0 | | success |
| 2 | `invalid` | the input or the usage is wrong |
| 3 | `not-found` | a component, function, file or provider does not exist |
| 4 | `conflict` | the request contradicts the present state: a cycle, several providers, dependents in the way |
| 5 | `denied` | a grant or a file permission is missing |
| 6 | `exhausted` | host capacity, a quota or the disk is used up |
| 7 | `guest` | the component trapped, ran into a limit, or answered `err` from a lifecycle export |
| 8 | `unavailable` | another process holds the data folder |
| 70 | `internal` | a fault of the product |
| 130, 143 | | ended by Ctrl-C, by SIGTERM |

If one of several items fails, the rest is still done; the code is that of the first failure.
";

/// Writes the reference.
fn reference() -> String {
    let mut text = HEAD.to_owned();
    let root = command();
    text.push_str("\n## Options of every verb\n\n");
    for option in root.get_arguments().filter(|option| option.is_global_set()) {
        let _ = writeln!(text, "- {}", option_line(option));
    }
    for (title, lines) in GROUPS {
        let _ = writeln!(text, "\n## {title}");
        for verb in lines.iter().flat_map(crate::groups::Line::verbs) {
            if let Some(verb) = root.find_subcommand(verb) {
                verb_text(&mut text, verb, "runtime", 3);
            }
        }
    }
    text
}

fn verb_text(text: &mut String, verb: &clap::Command, parent: &str, level: usize) {
    let mut verb = verb.clone().bin_name(format!("{parent} {}", verb.get_name()));
    let _ = writeln!(text, "\n{} `{parent} {}`\n", "#".repeat(level), verb.get_name());
    let about = verb.get_long_about().or(verb.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, "{}.\n", about.trim_end_matches('.'));
    let usage = verb.render_usage().to_string();
    let _ = writeln!(text, "```\n{}\n```\n", usage.trim_start_matches("Usage: ").trim());
    let verb = verb;
    let own: Vec<_> = verb.get_arguments().filter(|a| !a.is_global_set() && !a.is_hide_set()).collect();
    for argument in own.iter().filter(|argument| argument.get_id() != "help") {
        let _ = writeln!(text, "- {}", option_line(argument));
    }
    if let Some(examples) = verb.get_after_help() {
        let examples = examples.to_string();
        let lines: Vec<_> = examples.lines().filter(|line| *line != "Examples:").map(str::trim).collect();
        let _ = writeln!(text, "\n```sh\n{}\n```", lines.join("\n"));
    }
    let name = format!("{parent} {}", verb.get_name());
    for inner in verb.get_subcommands().filter(|inner| inner.get_name() != "help") {
        verb_text(text, inner, &name, level + 1);
    }
}

fn option_line(argument: &clap::Arg) -> String {
    let mut names = Vec::new();
    names.extend(argument.get_short().map(|short| format!("-{short}")));
    names.extend(argument.get_long().map(|long| format!("--{long}")));
    names.extend(argument.get_visible_aliases().unwrap_or_default().iter().map(|alias| format!("--{alias}")));
    let values: Vec<_> = argument
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(ToString::to_string)
        .collect();
    let name = if names.is_empty() { values.join(" ") } else { [names.join(", "), values.join(" ")].join(" ") };
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<_> = argument
        .get_possible_values()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let choices = if choices.is_empty() { String::new() } else { format!(" ({})", choices.join(", ")) };
    format!("`{}`: {help}{choices}", name.trim())
}

#[test]
fn the_reference_in_docs_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let text = reference();
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/cli.md is not up to date: run `BLESS=1 cargo test -p runtime reference`");
}
