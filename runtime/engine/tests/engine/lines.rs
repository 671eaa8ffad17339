//! Source lines in backtraces, of debug information that is made here byte by byte.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::ports::Unit;
use engine::EngineSettings;

use crate::support::{Folder, World, failure, wave};

/// One core module: `outer`, which calls `inner`, which traps at its second byte. The code section is a count, then for each function a
/// size, no locals (the address at which it begins) and its instructions: `inner` is at 2 to 5, `outer` at 6 to 10.
fn module(name: &str, debug: &[(&str, Vec<u8>)]) -> String {
    let sections: String =
        debug.iter().map(|(name, bytes)| format!("(@custom {name:?} \"{}\")", text(bytes))).collect();
    format!(
        "(core module ${name} (func $inner unreachable) (func $outer (export \"{name}\") call $inner) {sections})
         (core instance $i{name} (instantiate ${name}))
         (func (export \"{name}\") (canon lift (core func $i{name} \"{name}\")))"
    )
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// Puts its length before a part of debug information.
fn measured(content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
}

const ABBREVIATIONS: &[u8] = &[
    1, 0x11, 1, 0x1b, 0x08, 0x10, 0x17, 0, 0, // A unit: its folder as text, its lines by their offset.
    2, 0x2e, 0, 0x6e, 0x08, 0, 0, // A function: its name for the linker as text.
    3, 0x1d, 1, 0x31, 0x13, 0x11, 0x01, 0x12, 0x06, 0x58, 0x0b, 0x59, 0x0b, 0,
    0, // An inlined call, with others in it.
    0,
];

/// Debug information that says: `inner` is `file` from `line` on, with `helper` inlined into it; `outer` begins ten lines later.
fn dwarf(file: &str, line: u8) -> Vec<(&'static str, Vec<u8>)> {
    let mut entries = [&b"\x01/home/ada\0"[..], &[0; 4]].concat();
    let named = 11 + entries.len();
    entries.extend(b"\x02_ZN4demo6helper17h0123456789abcdefE\0");
    entries.push(3);
    entries.extend(u32::try_from(named).unwrap().to_le_bytes());
    // From address 3 on, for two bytes; called in line 77 of file 1.
    entries.extend([3, 0, 0, 0, 2, 0, 0, 0, 1, 77, 0, 0]);
    let head = [&[4, 0][..], &[0; 4], &[4]].concat();
    let info = measured(&[head, entries].concat());
    let files = [&b"\0"[..], file.as_bytes(), b"\0\0\0\0\0"].concat();
    let header = [&[1, 1, 1, 0, 1, 10, 0, 1, 1, 1, 1, 0, 0, 0, 1][..], &files].concat();
    let program = [
        &[0, 5, 2, 2, 0, 0, 0, 3, line - 1, 1][..], // `inner` begins: a row.
        &[2, 1, 3, 1, 5, 9, 1],                     // One byte and one line on, column 9.
        &[2, 2, 0, 1, 1],                           // It ends.
        &[0, 5, 2, 6, 0, 0, 0, 3, line + 9, 5, 3, 1, 0, 1, 1],
    ];
    let mut lines = [&[4, 0][..], &measured(&header), &program.concat()].concat();
    // The row of `outer` ends with it.
    let end = lines.len() - 3;
    lines.splice(end..end, [2, 4]);
    vec![(".debug_abbrev", ABBREVIATIONS.to_vec()), (".debug_info", info), (".debug_line", measured(&lines))]
}

async fn frames(unit: &Arc<dyn Unit>, function: &str) -> Vec<String> {
    failure(unit, wave(&format!("{function}()"))).await.backtrace
}

#[tokio::test]
async fn each_frame_has_the_line_of_its_own_core_module_and_what_was_inlined() {
    let wat = format!("(component {} {})", module("a", &dwarf("a.c", 10)), module("b", &dwarf("/src/b.c", 40)));
    let unit = World::new().unit("demo:lines", &wat).await;
    insta::assert_snapshot!(frames(&unit, "a").await.join("\n"), @r"
    a!demo::helper at /home/ada/a.c:11:9
    a!inner at /home/ada/a.c:77
    a!outer at /home/ada/a.c:20:3
    ");
    insta::assert_snapshot!(frames(&unit, "b").await.join("\n"), @r"
    b!demo::helper at /src/b.c:41:9
    b!inner at /src/b.c:77
    b!outer at /src/b.c:50:3
    ");
}

#[tokio::test]
async fn lines_are_read_at_the_first_failure_alone_and_outlive_the_process() {
    let wat = format!("(component {})", module("a", &dwarf("a.c", 10)));
    let folder = Arc::new(Folder::new());
    for expected in [1, 2] {
        let world = World::on(Arc::clone(&folder), Vec::new(), EngineSettings::default());
        let unit = world.unit("demo:lines", &wat).await;
        for _ in 0..3 {
            assert_eq!(frames(&unit, "a").await.len(), 3);
        }
        assert_eq!(folder.lines_read.load(Ordering::Relaxed), expected);
    }
}

#[tokio::test]
async fn a_component_without_debug_information_asks_once_and_fails_as_before() {
    let folder = Arc::new(Folder::new());
    let world = World::on(Arc::clone(&folder), Vec::new(), EngineSettings::default());
    let unit = world.unit("demo:lines", &format!("(component {})", module("a", &[]))).await;
    for _ in 0..3 {
        assert_eq!(frames(&unit, "a").await, ["a!inner", "a!outer"]);
    }
    assert_eq!(folder.lines_read.load(Ordering::Relaxed), 1);
    assert_eq!(std::fs::read_dir(folder.path.path()).unwrap().count(), 1, "there is code, and no lines");
}

#[tokio::test]
async fn lines_are_there_where_no_cache_can_be_written() {
    let folder = Arc::new(Folder { full: true, ..Folder::new() });
    let world = World::on(Arc::clone(&folder), Vec::new(), EngineSettings::default());
    let unit = world.unit("demo:lines", &format!("(component {})", module("a", &dwarf("a.c", 10)))).await;
    assert_eq!(frames(&unit, "a").await.len(), 3);
    assert_eq!(folder.lines_read.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn texts_of_debug_information_are_escaped_and_bounded() {
    let file = format!("\u{1b}[2J\n{}", "x".repeat(4_000));
    let unit = World::new().unit("demo:lines", &format!("(component {})", module("a", &dwarf(&file, 10)))).await;
    for frame in frames(&unit, "a").await {
        assert!(frame.contains(" at /home/ada/\\u{1b}[2J\\nxxx"), "{frame}");
        assert!(frame.len() < 1_000 && !frame.contains(['\u{1b}', '\n']), "{frame}");
    }
}

#[tokio::test]
async fn debug_information_that_is_cut_or_changed_costs_nothing_but_lines() {
    let whole = dwarf("a.c", 10);
    let mut broken = Vec::new();
    for (section, (_, bytes)) in whole.iter().enumerate() {
        for position in 0..bytes.len() {
            let mut cut = whole.clone();
            cut[section].1.truncate(position);
            let mut flipped = whole.clone();
            flipped[section].1[position] ^= 0xff;
            broken.extend([cut, flipped]);
        }
    }
    let world = World::new();
    // As many in one component as an instance may have.
    for broken in broken.chunks(16) {
        let modules: String = broken.iter().enumerate().map(|(n, debug)| module(&format!("m{n}"), debug)).collect();
        let unit = world.unit("demo:lines", &format!("(component {modules})")).await;
        for number in 0..broken.len() {
            let frames = frames(&unit, &format!("m{number}")).await;
            assert!((2..=3).contains(&frames.len()), "{frames:?}");
            assert!(frames.iter().all(|frame| frame.starts_with(&format!("m{number}!"))), "{frames:?}");
        }
    }
}
