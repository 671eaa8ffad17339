//! Fails in every way a guest can, on demand.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

wit_bindgen::generate!({
    path: "../wit",
    world: "flaky",
    generate_all,
});

use exports::demo::flaky::misbehave::Guest as Misbehave;
use exports::registry::component::health::Guest as Health;
use exports::registry::component::lifecycle::Guest as Lifecycle;
use wasi::config::store;
use wasi::logging::logging::{self, Level};

/// One mebibyte, in bytes.
const MEBIBYTE: usize = 1 << 20;

/// The last page of a 32-bit address space: no memory of a component is that large.
const WILD_ADDRESS: usize = 0xffff_fff0;

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
    static EATEN: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static COMPLAINT: RefCell<Option<String>> = const { RefCell::new(None) };
}

struct Flaky;

impl Lifecycle for Flaky {
    /// Does what the configuration's `activate` says: `ok` (the default), `fail`, `trap` or `loop`.
    fn activate() -> Result<(), String> {
        let wish = setting("activate")?;
        match wish.as_deref() {
            None | Some("ok") => Ok(()),
            Some("fail") => Err(setting("message")?.unwrap_or_else(|| "told to fail".to_owned())),
            Some("trap") => {
                step_one();
                Ok(())
            }
            Some("loop") => {
                spin_forever();
                Ok(())
            }
            Some(other) => Err(format!("configuration `activate` is `{other}`, not one of ok, fail, trap, loop")),
        }
    }

    fn deactivate() -> Result<(), String> {
        match setting("deactivate")?.as_deref() {
            Some("fail") => Err("told to fail".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Health for Flaky {
    fn check() -> Result<(), String> {
        match COMPLAINT.with_borrow(Clone::clone) {
            None => Ok(()),
            Some(complaint) => Err(complaint),
        }
    }
}

impl Misbehave for Flaky {
    fn ok() -> String {
        count_call();
        "all is well".to_owned()
    }

    fn calls() -> u32 {
        count_call()
    }

    fn fail(message: String) -> Result<String, String> {
        count_call();
        logging::log(Level::Warn, "fail", &message);
        Err(message)
    }

    fn trap() {
        count_call();
        step_one();
    }

    fn panic(message: String) {
        count_call();
        panic!("{message}");
    }

    fn divide(a: i32, b: i32) -> i32 {
        count_call();
        a / b
    }

    fn read_wild() -> u8 {
        count_call();
        let address = black_box(WILD_ADDRESS) as *const u8;
        // SAFETY: not sound, and meant to be: the address lies beyond the component's memory, so the engine traps
        // before anything is read.
        unsafe { address.read_volatile() }
    }

    fn recurse(depth: u32) -> u32 {
        count_call();
        descend(depth)
    }

    fn loop_forever() {
        count_call();
        spin_forever();
    }

    fn spin(ms: u32) -> u64 {
        count_call();
        let end = Instant::now() + Duration::from_millis(u64::from(ms));
        let mut rounds = 0;
        while Instant::now() < end {
            rounds += 1;
        }
        rounds
    }

    fn sleep(ms: u32) {
        count_call();
        thread::sleep(Duration::from_millis(u64::from(ms)));
    }

    fn eat_memory(mebibytes: u32) -> u32 {
        count_call();
        for _ in 0..mebibytes {
            // Written, not only reserved; where memory ends, the allocation aborts and so traps.
            let piece = black_box(vec![0xa5; MEBIBYTE]);
            EATEN.with_borrow_mut(|eaten| eaten.push(piece));
        }
        EATEN.with_borrow(|eaten| u32::try_from(eaten.len()).unwrap_or(u32::MAX))
    }

    fn chatter(lines: u32) {
        count_call();
        for line in 1..=lines {
            println!("line {line} of {lines} on stdout");
            eprintln!("line {line} of {lines} on stderr");
        }
    }

    fn set_health(complaint: Option<String>) {
        count_call();
        COMPLAINT.set(complaint);
    }
}

/// Counts a call and returns how many this instance has served.
fn count_call() -> u32 {
    CALLS.set(CALLS.get().saturating_add(1));
    CALLS.get()
}

/// Reads one value of this component's configuration.
fn setting(key: &str) -> Result<Option<String>, String> {
    store::get(key).map_err(|error| match error {
        store::Error::Upstream(text) => format!("configuration `{key}` cannot be read: {text}"),
        store::Error::Io(text) => format!("configuration `{key}` cannot be read: {text}"),
    })
}

// Three functions that are not inlined, so that the backtrace of the trap has something to show.

#[inline(never)]
fn step_one() {
    step_two(black_box(2));
}

#[inline(never)]
fn step_two(steps: u32) {
    step_three(black_box(steps) + 1);
}

#[inline(never)]
fn step_three(steps: u32) {
    if black_box(steps) > 0 {
        unreachable_instruction();
    }
}

#[cfg(target_family = "wasm")]
fn unreachable_instruction() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_family = "wasm"))]
fn unreachable_instruction() -> ! {
    std::process::abort()
}

#[inline(never)]
fn descend(depth: u32) -> u32 {
    match depth {
        0 => 0,
        // The array and the addition after the call keep a frame on the stack.
        _ => {
            let frame = black_box([depth; 8]);
            descend(depth - 1) + u32::from(frame[0] > 0)
        }
    }
}

#[inline(never)]
fn spin_forever() {
    let mut rounds = 0_u64;
    loop {
        rounds = black_box(rounds.wrapping_add(1));
    }
}

export!(Flaky);
