//! What files that are no good components get: a sentence, exit code 2, nothing registered.

use std::fs::File;

use crate::harness::sandbox::{fixture, string, text};
use crate::harness::{Ran, Sandbox, wat};

/// Registers `path` and checks that it is refused as a whole, with `code` and with `words` in what people read.
fn refuses(sandbox: &Sandbox, path: &str, code: i32, words: &[&str]) -> Ran {
    let (ran, error) = sandbox.fails(&["register", path], code);
    for word in words {
        assert!(ran.stderr.contains(word), "no `{word}` in {ran:#?}");
    }
    assert!(ran.stdout.is_empty(), "{ran:#?}");
    assert!(string(&error["message"]).lines().count() <= 6, "{error}");
    assert!(sandbox.ids().is_empty());
    ran
}

fn binary(name: &str) -> Vec<u8> {
    wat_to_binary(&fixture(name))
}

fn wat_to_binary(text: &str) -> Vec<u8> {
    ::wat::parse_str(text).unwrap()
}

#[test]
fn what_is_not_wasm() {
    let sandbox = Sandbox::new();
    sandbox.write("picture.wasm", b"\x89PNG\r\n\x1a\n some pixels");
    refuses(&sandbox, "picture.wasm", 2, &["picture.wasm", "not"]);
    sandbox.write("prose.wat", "Once upon a time");
    refuses(&sandbox, "prose.wat", 2, &["prose.wat"]);
}

#[test]
fn a_core_module() {
    let sandbox = Sandbox::new();
    sandbox.write("module.wasm", binary("module.wat"));
    refuses(&sandbox, "module.wasm", 2, &["module.wasm: this is a core module, not a component; make one with"]);
}

#[test]
fn an_empty_file() {
    let sandbox = Sandbox::new();
    sandbox.write("empty.wasm", "");
    refuses(&sandbox, "empty.wasm", 2, &["empty"]);
}

#[test]
fn a_truncated_component_wherever_it_is_cut() {
    let sandbox = Sandbox::new();
    let whole = binary("greeter.wat");
    for percent in [10, 35, 60, 85, 99] {
        sandbox.write("cut.wasm", &whole[..whole.len() * percent / 100]);
        refuses(&sandbox, "cut.wasm", 2, &["cut.wasm"]);
    }
}

#[test]
fn a_flipped_bit_is_refused_or_harmless_but_never_a_crash() {
    let sandbox = Sandbox::new();
    let whole = binary("doubler.wat");
    let mut refused = 0;
    for step in 0..24 {
        let mut bytes = whole.clone();
        let at = 8 + step * (whole.len() - 8) / 24;
        bytes[at] ^= 1 << (step % 8);
        sandbox.write("flipped.wasm", &bytes);
        let ran = sandbox.run(&["register", "flipped.wasm", "--override"]);
        assert!(ran.code == 0 || ran.code == 2, "bit {at}: {ran:#?}");
        assert!(!ran.stderr.contains("panicked"), "bit {at}: {ran:#?}");
        refused += usize::from(ran.code == 2);
    }
    assert!(refused > 5, "only {refused} of 24 damaged files were refused");
}

#[test]
fn a_file_of_200_mb_is_refused_by_its_size() {
    let sandbox = Sandbox::new();
    let path = sandbox.write("huge.wasm", "");
    // Sparse: the size is there, the bytes are not.
    File::options().write(true).open(&path).unwrap().set_len(200 << 20).unwrap();
    refuses(&sandbox, &text(&path), 2, &["209715200 bytes", "64 MiB"]);
}

#[test]
fn what_does_not_exist_or_holds_nothing() {
    let sandbox = Sandbox::new();
    refuses(&sandbox, "nowhere.wasm", 3, &["nowhere.wasm", "does not exist"]);
    std::fs::create_dir(sandbox.work().join("empty")).unwrap();
    refuses(&sandbox, "empty", 2, &["no components", "component.toml"]);
    let (_, error) = sandbox.fails(&["inspect", "empty"], 2);
    assert!(string(&error["message"]).contains("no component.toml"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_is_not_followed_and_that_is_told() {
    let sandbox = Sandbox::new();
    sandbox.component("test:a", "1.0.0", "", &fixture("adder.wat"));
    let links = sandbox.work().join("links");
    std::fs::create_dir(&links).unwrap();
    std::os::unix::fs::symlink(sandbox.work().join("components"), links.join("elsewhere\u{1b}[31m")).unwrap();
    let ran = refuses(&sandbox, "links", 2, &["no components", "links to folders are not followed", "elsewhere"]);
    assert!(!ran.stderr.contains('\u{1b}'), "{ran:#?}");
    // Named itself, it is a folder as any other.
    sandbox.ok(&["register", "links/elsewhere\u{1b}[31m"]);
    assert_eq!(sandbox.ids(), ["test:a"]);
}

#[test]
fn what_is_not_a_file() {
    let sandbox = Sandbox::new();
    refuses(&sandbox, "/dev/null", 2, &["/dev/null"]);
}

#[cfg(unix)]
#[test]
fn what_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let file = sandbox.fixture("adder.wat");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&file).is_ok() {
        // The super-user reads everything.
        return;
    }
    refuses(&sandbox, &text(&file), 5, &["adder.wat"]);
}

#[test]
fn a_wasm_feature_that_is_off_is_named() {
    let sandbox = Sandbox::new();
    sandbox.fixture("collector.wat");
    let ran = refuses(&sandbox, "collector.wat", 2, &["gc"]);
    assert!(ran.stderr.contains("feature"), "{ran:#?}");
}

#[test]
fn a_manifest_says_what_is_wrong_and_what_was_meant() {
    let long = format!("version = \"1.0.0+{}\"\n", "x".repeat(200));
    let cases: &[(&str, &[&str])] = &[
        ("lmits = 1\n", &["lmits", "limits"]),
        ("[limits]\nfual = 7\n", &["fual", "fuel"]),
        ("version = 7\n", &["version"]),
        ("version = \"one\"\n", &["one"]),
        (long.as_str(), &["version", "128"]),
        ("kind = \"Two Words\"\n", &["Two Words"]),
        ("[limits]\ndeadline = \"soon\"\n", &["soon", "5s"]),
        ("[limits]\nmemory = \"64MB\"\n", &["64MB", "MiB"]),
        ("[dependencies]\n\"test:a\" = \"not a range\"\n", &["not a range"]),
        ("[grants]\nfolders = [{ path = \"a\", at = \"/a\", mode = \"rx\" }]\n", &["rx"]),
        ("= broken", &["line 1"]),
    ];
    let sandbox = Sandbox::new();
    sandbox.write("c/component.wat", wat::answer(1));
    for (manifest, words) in cases {
        sandbox.write("c/component.toml", manifest);
        refuses(&sandbox, "c", 2, &[&["component.toml"], *words].concat());
    }
}

#[test]
fn an_id_is_a_plain_pair_of_words() {
    let sandbox = Sandbox::new();
    let file = text(&sandbox.fixture("adder.wat"));
    let long = format!("a:{}", "x".repeat(300));
    // The fifth has a Cyrillic letter that looks like an `a`.
    for id in ["Foo", "a:b:c", "..", "a:..", "\u{430}:b", "a:b ", "a/b:c", "a:b@1.0.0", "", &long] {
        let (_, error) = sandbox.fails(&["register", &file, "--id", id], 2);
        assert!(string(&error["message"]).len() < 600, "{error}");
        sandbox.write("c/component.wat", wat::answer(1));
        sandbox.write("c/component.toml", format!("id = {id:?}\n"));
        refuses(&sandbox, "c", 2, &["component.toml"]);
    }
}

#[test]
fn options_for_one_component_are_refused_for_several() {
    let sandbox = Sandbox::new();
    sandbox.component("test:a", "1.0.0", "", &wat::answer(1));
    sandbox.component("test:b", "1.0.0", "", &wat::answer(2));
    for option in [["--id", "test:c"], ["--version", "1.0.0"], ["--manifest", "component.toml"]] {
        let (ran, _) = sandbox.fails(&["register", "components", option[0], option[1]], 2);
        assert!(ran.stderr.contains(option[0]), "{ran:#?}");
    }
    sandbox.fails(&["register", "components", "--version", "one"], 2);
    assert!(sandbox.ids().is_empty());
}

#[test]
fn a_folder_whose_manifest_does_not_lead_to_a_file() {
    let sandbox = Sandbox::new();
    sandbox.write("c/component.toml", "[build]\ncommand = \"make it\"\noutput = \"out.wasm\"\n");
    refuses(&sandbox, "c", 2, &["out.wasm", "make it"]);
    sandbox.write("d/component.toml", "wasm = \"there.wasm\"\n");
    refuses(&sandbox, "d", 2, &["there.wasm"]);
    sandbox.write("e/component.toml", "");
    sandbox.write("e/one.wat", wat::answer(1));
    sandbox.write("e/two.wat", wat::answer(2));
    refuses(&sandbox, "e", 2, &["2 component files"]);
}
