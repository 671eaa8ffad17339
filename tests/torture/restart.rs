//! How long it takes until a large registry answers again after its server was killed: printed, not judged.

use std::time::{Duration, Instant};

use crate::numbers::Numbers;
use crate::place::{Cut, Outcome, Place, Server};
use crate::recipe::Recipe;

/// Components that are active when the server is killed, and come back with it.
const ACTIVE: u64 = 20;
/// Most imports of one component.
const NEEDS_MAX: u64 = 3;
/// Imports come from so many components just before the importer.
const NEAR: u64 = 200;

/// What was measured.
pub(crate) struct Restart {
    /// From the start of the server to its word that it serves.
    pub(crate) ready: Duration,
    /// From there to the first answer that a client has.
    pub(crate) answer: Duration,
    /// Of a command that opens the folder itself after another kill.
    pub(crate) alone: Duration,
}

/// Registers `entries` components, kills their server, and starts another one.
pub(crate) fn measure(entries: u64, seed: u64) -> Outcome<Restart> {
    let place = Place::new("restart");
    let made = place.root.join("made");
    let mut numbers = Numbers::new(seed);
    for name in 0..entries {
        let mut needs: Vec<_> = (0..numbers.below(NEEDS_MAX + 1))
            .filter(|_| name > ACTIVE)
            .map(|_| name - 1 - numbers.below(NEAR.min(name)))
            .collect();
        needs.sort_unstable();
        needs.dedup();
        let recipe = Recipe {
            id: format!("w0:n{name}"),
            version: "1.0.0".to_owned(),
            answer: u32::try_from(name).unwrap(),
            needs: needs.into_iter().map(|need| format!("w0:n{need}")).collect(),
            refuses: false,
            padding: 16,
        };
        recipe.write(&made);
    }
    place.ok(&["register", made.to_str().unwrap()])?;
    std::fs::remove_dir_all(&made).map_err(|error| error.to_string())?;
    let active: Vec<_> = (0..ACTIVE.min(entries)).map(|name| format!("w0:n{name}")).collect();
    let last = format!("w0:n{}", entries - 1);
    let activate: Vec<&str> = std::iter::once("activate").chain(active.iter().map(String::as_str)).collect();
    place.ok(&activate)?;
    start(&place)?.kill()?;

    let begun = Instant::now();
    let server = start(&place)?;
    let ready = begun.elapsed();
    place.ok(&["show", &last])?;
    let answer = begun.elapsed() - ready;
    place.ok(&["call", &active[0], "own()"])?;
    server.kill()?;
    let begun = Instant::now();
    place.ok(&["show", &last])?;
    let alone = begun.elapsed();
    let verified = place.ok(&["verify"])?;
    if verified["ok"] != true {
        return Err(format!("`verify` finds: {verified}"));
    }
    place.remove();
    Ok(Restart { ready, answer, alone })
}

fn start(place: &Place) -> Outcome<Server> {
    let server = Server::start(place, Cut::Never);
    match &server.ready {
        Some(ready) if ready["failed"] == 0 => Ok(server),
        ready => Err(format!("the server says {ready:?}")),
    }
}
