//! The circuit breaker of one component: when it opens, and for how long.

use std::time::Duration;

use super::backoff::Backoff;
use super::watch::{Quarantine, Relapse, Watch};
use crate::time::Timestamp;
use crate::units::format_duration;

/// When a component is put in quarantine, and when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerInForce {
    /// How many failures within the window are too many; `None` for never.
    pub failures: Option<u32>,
    /// Within which time failures are counted together.
    pub window: Duration,
    /// How long a quarantine is, by its round.
    pub backoff: Backoff,
}

/// A component failed too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which quarantine in a row the next one is, from 1.
    pub round: u32,
    /// What led to it, in a few words.
    pub cause: String,
}

impl BreakerInForce {
    /// Says whether a component is to be put in quarantine, which has failed at these times, each so often: failures that count alone,
    /// since it was last brought into service.
    pub fn judge(
        &self,
        watch: Option<&Watch>,
        failures: impl IntoIterator<Item = (Timestamp, u64)>,
        now: Timestamp,
    ) -> Option<Verdict> {
        let relapse = watch.and_then(|watch| watch.relapse.as_ref()).filter(|relapse| now < relapse.until);
        let most = match relapse {
            Some(Relapse { proven: false, .. }) => self.failures.map(|_| 1)?,
            _ => self.failures?,
        };
        let recent = failures.into_iter().filter(|(at, _)| now.since(*at) < self.window);
        let count: u64 = recent.map(|(_, count)| count).fold(0, u64::saturating_add);
        if count < u64::from(most) {
            return None;
        }
        let cause = match relapse {
            Some(Relapse { proven: false, .. }) => "a failure when it was tried again".to_owned(),
            _ => format!(
                "{count} {} within {}",
                if count == 1 { "failure" } else { "failures" },
                format_duration(self.window)
            ),
        };
        Some(Verdict { round: relapse.map_or(1, |relapse| relapse.round.saturating_add(1)), cause })
    }

    /// Begins the quarantine that `verdict` asks for; `draw` is any number, by chance.
    pub fn open(&self, verdict: Verdict, now: Timestamp, draw: u64) -> Quarantine {
        let Verdict { round, cause } = verdict;
        let probe_at = now.after(self.backoff.delay(round.saturating_sub(1), draw));
        Quarantine { since: now, probe_at, round, cause }
    }

    /// Begins the next quarantine of a component that was tried and failed again; one that said nothing of itself, for instance because
    /// something that it needs failed, stays in the same round.
    pub fn reopen(&self, before: &Quarantine, is_own_failure: bool, now: Timestamp, draw: u64) -> Quarantine {
        let (round, cause) = match is_own_failure {
            true => (before.round.saturating_add(1), "a failure when it was tried again"),
            false => (before.round, "something else failed when it was tried again"),
        };
        self.open(Verdict { round, cause: cause.to_owned() }, now, draw)
    }

    /// Returns what to remember of a quarantine that ends because the component was tried and did not fail. It is forgotten when the
    /// component has not failed too often for as long as it was in quarantine, and at least for the window.
    pub fn close(&self, quarantine: &Quarantine, proven: bool, now: Timestamp) -> Relapse {
        let length = quarantine.probe_at.since(quarantine.since).max(self.window);
        Relapse { round: quarantine.round, until: now.after(length), proven }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BREAKER: BreakerInForce = BreakerInForce {
        failures: Some(3),
        window: Duration::from_secs(60),
        backoff: Backoff { base: Duration::from_secs(10), max: Duration::from_secs(300) },
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn relapsed(relapse: Relapse) -> Watch {
        Watch { relapse: Some(relapse), ..Watch::default() }
    }

    #[test]
    fn opens_with_the_failure_that_is_one_too_many_within_the_window() {
        assert_eq!(BREAKER.judge(None, [(at(0), 1), (at(1), 1)], at(2)), None);
        let verdict = BREAKER.judge(None, [(at(0), 1), (at(1), 1), (at(2), 1)], at(2)).unwrap();
        assert_eq!(verdict, Verdict { round: 1, cause: "3 failures within 60s".to_owned() });
        assert_eq!(BREAKER.judge(None, [(at(0), 1), (at(1), 1), (at(60), 1)], at(60)), None, "the first is too old");
        assert!(BREAKER.judge(None, [(at(2), 3)], at(2)).is_some(), "one record can stand for several");
        assert_eq!(BreakerInForce { failures: None, ..BREAKER }.judge(None, [(at(2), 99)], at(2)), None);
    }

    #[test]
    fn each_quarantine_in_a_row_is_longer_until_the_component_was_well_for_long_enough() {
        let verdict = |watch: Option<&Watch>, now| BREAKER.judge(watch, [(now, 3)], now).unwrap();
        let first = BREAKER.open(verdict(None, at(0)), at(0), 0);
        assert_eq!((first.round, first.probe_at), (1, at(10)));
        let second = BREAKER.reopen(&first, true, at(10), 0);
        assert_eq!((second.round, second.probe_at), (2, at(30)));
        let same = BREAKER.reopen(&second, false, at(30), 0);
        assert_eq!((same.round, same.probe_at), (2, at(50)));
        let relapse = BREAKER.close(&same, true, at(50));
        assert_eq!(relapse, Relapse { round: 2, until: at(110), proven: true });
        assert_eq!(verdict(Some(&relapsed(relapse)), at(109)).round, 3);
        assert_eq!(verdict(Some(&relapsed(relapse)), at(110)).round, 1, "all is forgotten");
    }

    #[test]
    fn what_was_only_started_fails_once_and_what_proved_itself_as_often_as_any() {
        let quarantine = BREAKER.open(Verdict { round: 1, cause: String::new() }, at(0), 0);
        let one = [(at(20), 1)];
        let started = relapsed(BREAKER.close(&quarantine, false, at(10)));
        assert_eq!(BREAKER.judge(Some(&started), one, at(20)).unwrap().round, 2);
        assert_eq!(BREAKER.judge(Some(&started), [(at(70), 1)], at(70)), None);
        let proven = relapsed(BREAKER.close(&quarantine, true, at(10)));
        assert_eq!(BREAKER.judge(Some(&proven), one, at(20)), None);
    }

    proptest! {
        #[test]
        fn never_opens_below_its_number_and_always_at_it(times in prop::collection::vec(0_i64..200, 0..20), now in 0_i64..200) {
            let failures = times.iter().map(|time| (at(*time), 1));
            let recent = times.iter().filter(|time| (now - **time).max(0) < 60).count();
            prop_assert_eq!(BREAKER.judge(None, failures, at(now)).is_some(), recent >= 3);
        }

        #[test]
        fn a_quarantine_ends_and_never_before_it_began(round in 1_u32..100, now in 0_i64..1_000_000, draw: u64) {
            let quarantine = BREAKER.open(Verdict { round, cause: String::new() }, at(now), draw);
            prop_assert!(quarantine.probe_at > at(now));
            prop_assert!(quarantine.probe_at <= at(now + 300));
        }
    }
}
