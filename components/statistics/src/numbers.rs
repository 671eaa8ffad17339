//! The numbers of one sample and what is known about them.

use crate::exports::demo::statistics::samples::{SampleError, Summary};

/// The most numbers in one sample.
const NUMBERS_MAX: usize = 100_000;

/// Finite numbers, at most [`NUMBERS_MAX`], in the order in which they came.
#[derive(Default)]
pub(crate) struct Numbers(Vec<f64>);

impl Numbers {
    /// Adds all numbers or none, and returns how many there are.
    pub(crate) fn add(&mut self, numbers: &[f64]) -> Result<u32, SampleError> {
        if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
            return Err(SampleError::NotFinite(at as u32));
        }
        if numbers.len() > NUMBERS_MAX - self.0.len() {
            return Err(SampleError::Full(NUMBERS_MAX as u32));
        }
        self.0.extend(numbers);
        Ok(self.0.len() as u32)
    }

    pub(crate) fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// Returns what the numbers come to, if there are any.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let (&least, &greatest) = (sorted.first()?, sorted.last()?);
        let (mean, squares) = self.spread();
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            // Halved first: the sum of two large numbers may be infinite.
            sorted[middle - 1] / 2.0 + sorted[middle] / 2.0
        };
        let divisor = (sorted.len() - 1).max(1) as f64;
        let deviation = (squares / divisor).sqrt();
        Some(Summary { count: sorted.len() as u32, mean, deviation, least, median, greatest })
    }

    /// Returns Pearson's correlation coefficient of pairs, if there is one.
    pub(crate) fn correlation(&self, other: &Self) -> Option<f64> {
        if self.0.len() != other.0.len() {
            return None;
        }
        let ((mean_x, squares_x), (mean_y, squares_y)) = (self.spread(), other.spread());
        let products: f64 = self.0.iter().zip(&other.0).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        // The product of both sums, of which textbooks take the root, may be too large for a number.
        let coefficient = products / squares_x * (squares_x / squares_y).sqrt();
        // No number, where one of the two does not vary. Rounding can lead a little beyond 1.
        coefficient.is_finite().then(|| coefficient.clamp(-1.0, 1.0))
    }

    /// Returns the mean and the sum of squared distances from it, as Welford computes them: in one pass, without the loss
    /// of digits that a sum of squares would bring.
    fn spread(&self) -> (f64, f64) {
        let (mut mean, mut squares) = (0.0, 0.0);
        for (index, number) in self.0.iter().enumerate() {
            let distance = number - mean;
            mean += distance / (index + 1) as f64;
            squares += distance * (number - mean);
        }
        (mean, squares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f64]) -> Numbers {
        let mut numbers = Numbers::default();
        numbers.add(values).expect("good numbers");
        numbers
    }

    #[test]
    fn a_summary_has_the_textbook_figures() {
        let summary = numbers(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).summary().expect("numbers");
        assert_eq!((summary.count, summary.mean, summary.median), (8, 5.0, 4.5));
        assert_eq!((summary.least, summary.greatest), (2.0, 9.0));
        assert!((summary.deviation - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn one_number_has_no_spread_and_none_have_no_summary() {
        let summary = numbers(&[-3.0]).summary().expect("a number");
        assert_eq!((summary.mean, summary.median, summary.deviation), (-3.0, -3.0, 0.0));
        assert!(numbers(&[]).summary().is_none());
    }

    #[test]
    fn correlation_needs_pairs_that_vary() {
        let rising = numbers(&[1.0, 2.0, 3.0]);
        assert_eq!(rising.correlation(&numbers(&[10.0, 20.0, 30.0])), Some(1.0));
        assert_eq!(rising.correlation(&numbers(&[3.0, 2.0, 1.0])), Some(-1.0));
        assert_eq!(rising.correlation(&rising), Some(1.0));
        assert_eq!(rising.correlation(&numbers(&[5.0, 5.0, 5.0])), None);
        assert_eq!(rising.correlation(&numbers(&[1.0, 2.0])), None);
    }

    #[test]
    fn a_sample_takes_all_or_nothing() {
        let mut sample = numbers(&[1.0]);
        assert!(matches!(sample.add(&[2.0, f64::NAN]), Err(SampleError::NotFinite(1))));
        assert!(matches!(sample.add(&vec![0.0; NUMBERS_MAX]), Err(SampleError::Full(_))));
        assert_eq!(sample.as_slice(), [1.0]);
        assert!(matches!(sample.add(&vec![0.0; NUMBERS_MAX - 1]), Ok(100_000)));
    }
}
