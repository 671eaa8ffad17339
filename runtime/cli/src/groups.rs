//! The first screen: verbs grouped by what people do.

use clap::Command;

/// One line of a group: verbs as they are written, and what they do.
pub(crate) struct Line {
    usage: &'static str,
    about: &'static str,
}

const fn line(usage: &'static str, about: &'static str) -> Line {
    Line { usage, about }
}

#[cfg(test)]
impl Line {
    /// Returns the names of the verbs: `list, show ID` stands for two.
    pub(crate) fn verbs(&self) -> impl Iterator<Item = &'static str> {
        self.usage.split(", ").filter_map(|part| part.split_whitespace().next())
    }
}

/// The groups in reading order, each with its title.
pub(crate) const GROUPS: &[(&str, &[Line])] = &[
    (
        "Components",
        &[
            line("register, unregister", "Add components or new versions; remove components"),
            line("scan, inspect PATH", "Look at a folder or binary before registering it"),
            line("list, show, wit ID", "List components; show all about one, or its WIT"),
            line("versions, diff ID", "List revisions; compare two of them"),
        ],
    ),
    (
        "Running",
        &[
            line("activate, watch", "Activate components; build and swap in what changes"),
            line("call ID 'f(args)'", "Call a function; arguments and result in WAVE"),
            line("plan, use, rollback", "Foresee who would break; choose a revision; go back"),
            line("deactivate, evict ID", "Take out of service, or drop the instance alone"),
        ],
    ),
    (
        "Dependencies",
        &[
            line("deps, dependents ID", "Show what a component needs, or what needs it"),
            line("why, impact ID", "Say why it is active; who would stop with it"),
            line("depend, undepend", "Declare or remove a dependency: `depend A --on B`"),
            line("fuse, unfuse", "Compose a trusted pair into one: `fuse A B`; undo it"),
            line("order, cycles, graph", "Show the activation order, all cycles, or a picture"),
        ],
    ),
    (
        "Operations",
        &[
            line("status, health, stats", "Show or set the status; count what is healthy; use"),
            line("errors, log, logs", "Show failures; who did what when; what guests print"),
            line("grant, revoke ID CAP", "Grant variables, folders, clocks; take them back"),
            line("grants, policy", "Show what is asked and granted, and by which rules"),
            line("index, settings", "Make and use indexes; show or change settings"),
        ],
    ),
    (
        "Upkeep",
        &[
            line("serve, completions", "Keep the registry live for other commands; for shells"),
            line("backup, restore", "Copy the registry, or make it from a copy"),
            line("export, import FILE", "Hand components to another registry"),
            line("gc, prune, compact", "Remove unused bytes, components, old records"),
            line("verify, repair", "Check the data folder, or keep what is whole"),
        ],
    ),
];

/// Returns `command` with the grouped first screen in place of clap's flat list.
pub(crate) fn with_groups(command: Command) -> Command {
    let mut verbs = String::new();
    for (title, lines) in GROUPS {
        verbs.push_str(&format!("{title}:\n"));
        for line in *lines {
            verbs.push_str(&format!("  {:<22}{}\n", line.usage, line.about));
        }
    }
    let template = format!(
        "{{about}}\n\nUsage: runtime [OPTIONS] <VERB> …\n\n{verbs}\nOptions:\n{{options}}\n\n`runtime help VERB` explains a verb, with examples."
    );
    command.help_template(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_stands_in_one_group_and_the_screen_is_small() {
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, lines)| lines.iter()).flat_map(Line::verbs).collect();
        grouped.sort_unstable();
        let command = crate::args::command();
        let mut verbs: Vec<_> =
            command.get_subcommands().filter(|c| !c.is_hide_set()).map(|c| c.get_name().to_owned()).collect();
        verbs.sort_unstable();
        assert_eq!(grouped, verbs);
        let help = crate::args::command().render_help().to_string();
        assert!(help.lines().count() <= 45, "{} lines:\n{help}", help.lines().count());
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }

    #[test]
    fn every_verb_has_an_example() {
        for verb in crate::args::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:") && help.contains("runtime "), "{}", verb.get_name());
        }
    }
}
