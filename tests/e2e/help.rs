//! Help, version and completions.

use crate::harness::Sandbox;

#[test]
fn the_first_screen_groups_the_verbs() {
    let sandbox = Sandbox::new().unserved();
    let help = sandbox.ok(&["--help"]);
    insta::assert_snapshot!(help, @r#"
    Registry and sandbox for WebAssembly components

    Usage: runtime [OPTIONS] <VERB> …

    Components:
      register, unregister  Add components or new versions; remove components
      scan, inspect PATH    Look at a folder or binary before registering it
      list, show, wit ID    List components; show all about one, or its WIT
      versions, diff ID     List revisions; compare two of them
    Running:
      activate, watch       Activate components; build and swap in what changes
      call ID 'f(args)'     Call a function; arguments and result in WAVE
      plan, use, rollback   Foresee who would break; choose a revision; go back
      deactivate, evict ID  Take out of service, or drop the instance alone
    Dependencies:
      deps, dependents ID   Show what a component needs, or what needs it
      why, impact ID        Say why it is active; who would stop with it
      depend, undepend      Declare or remove a dependency: `depend A --on B`
      fuse, unfuse          Compose a trusted pair into one: `fuse A B`; undo it
      order, cycles, graph  Show the activation order, all cycles, or a picture
    Operations:
      status, health, stats Show or set the status; count what is healthy; use
      errors, log, logs     Show failures; who did what when; what guests print
      grant, revoke ID CAP  Grant variables, folders, clocks; take them back
      grants, policy        Show what is asked and granted, and by which rules
      index, settings       Make and use indexes; show or change settings
    Upkeep:
      serve, completions    Keep the registry live for other commands; for shells
      backup, restore       Copy the registry, or make it from a copy
      export, import FILE   Hand components to another registry
      gc, prune, compact    Remove unused bytes, components, old records
      verify, repair        Check the data folder, or keep what is whole

    Options:
      -C <DIR>                   Work as if started in DIR
          --data <DIR>           Data folder [env: RUNTIME_DATA]
      -o, --output <FORMAT>      Print the result as text, or as one JSON document
          --json                 The same as `-o json`
      -q, --quiet                Print errors and results alone
      -v, --verbose              Print timings, and the causes of errors
          --lock-timeout <TIME>  Longest wait for a busy data folder [default: 10s]
      -h, --help                 Print help
      -V, --version              Print version

    `runtime help VERB` explains a verb, with examples.
    "#);
    assert!(!sandbox.data().exists(), "help made a data folder");
}

#[test]
fn every_verb_explains_itself_with_an_example() {
    let sandbox = Sandbox::new();
    let verbs = [
        "register",
        "scan",
        "inspect",
        "unregister",
        "list",
        "show",
        "wit",
        "activate",
        "call",
        "deactivate",
        "evict",
        "logs",
        "deps",
        "dependents",
        "depend",
        "undepend",
        "fuse",
        "unfuse",
        "order",
        "cycles",
        "graph",
        "grant",
        "revoke",
        "grants",
        "policy",
        "status",
        "health",
        "stats",
        "errors",
        "log",
        "index",
        "settings",
        "completions",
    ];
    for verb in verbs {
        let help = sandbox.ok(&[verb, "--help"]);
        assert!(help.contains("Examples:") && help.contains(&format!("runtime {verb}")), "{verb}: {help}");
        assert_eq!(sandbox.ok(&["help", verb]), help, "{verb}");
    }
}

#[test]
fn prints_its_version() {
    let version = Sandbox::new().ok(&["--version"]);
    assert_eq!(version.trim(), format!("runtime {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completes_in_every_shell() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = sandbox.ok(&["completions", shell]);
        assert!(script.contains("register") && script.contains("lock-timeout"), "{shell}");
    }
    let document = sandbox.json(&["completions", "bash"]);
    assert_eq!(document["shell"], "bash");
}

#[test]
fn without_a_verb_it_shows_help_and_fails() {
    let ran = Sandbox::new().run(&[]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("Usage: runtime"), "{ran:#?}");
}

#[test]
fn a_wrong_verb_or_option_is_told_with_what_was_meant() {
    let sandbox = Sandbox::new();
    let (text, error) = sandbox.fails(&["lst"], 2);
    assert!(text.stderr.contains("list"), "{text:#?}");
    assert_eq!(error["code"], "usage");
    let (_, error) = sandbox.fails(&["list", "--helthy"], 2);
    assert!(error["hints"].to_string().contains("--healthy"), "{error}");
}
