//! Samples of numbers that other components hold: the interface exports a resource.

mod numbers;

use std::cell::RefCell;

wit_bindgen::generate!({
    path: "../wit",
    world: "statistics",
    generate_all,
});

use exports::demo::statistics::samples::{Guest, GuestSample, Sample, SampleBorrow, SampleError, Summary};
use numbers::Numbers;

struct Statistics;

impl Guest for Statistics {
    type Sample = Held;
}

/// What a handle stands for. Methods get `&self`, since several handles can be lent at a time.
struct Held(RefCell<Numbers>);

impl GuestSample for Held {
    fn new() -> Self {
        Self(RefCell::default())
    }

    fn add(&self, numbers: Vec<f64>) -> Result<u32, SampleError> {
        self.0.borrow_mut().add(&numbers)
    }

    fn summary(&self) -> Option<Summary> {
        self.0.borrow().summary()
    }

    fn join(parts: Vec<Sample>) -> Result<Sample, SampleError> {
        let mut whole = Numbers::default();
        for part in parts {
            // The handle was given to us: we take the numbers out, and it is no more.
            let part: Held = part.into_inner();
            whole.add(part.0.into_inner().as_slice())?;
        }
        Ok(Sample::new(Held(RefCell::new(whole))))
    }

    fn correlation(x: SampleBorrow<'_>, y: SampleBorrow<'_>) -> Option<f64> {
        // These are only lent: the numbers stay where they are.
        x.get::<Held>().0.borrow().correlation(&y.get::<Held>().0.borrow())
    }
}

export!(Statistics);
