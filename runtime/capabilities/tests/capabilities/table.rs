//! The table of the domain and what is really linked.

use std::collections::BTreeSet;

use domain::InterfaceName;
use domain::capability::{HostAccess, host_access, host_interfaces};

fn track(name: &str) -> String {
    name.parse::<InterfaceName>().unwrap().track()
}

#[test]
fn serves_exactly_the_interfaces_of_the_domains_table() {
    let linked: BTreeSet<_> =
        capabilities::default_set().iter().flat_map(|capability| capability.interfaces()).map(|n| track(n)).collect();
    let mut promised = BTreeSet::new();
    for (name, access) in host_interfaces() {
        assert_ne!(access, HostAccess::Absent, "{name}");
        promised.insert(name);
    }
    assert_eq!(linked, promised);
}

#[test]
fn no_interface_is_served_twice_and_each_is_known_to_the_domain() {
    let mut seen = BTreeSet::new();
    for name in capabilities::default_set().iter().flat_map(|capability| capability.interfaces()) {
        assert!(seen.insert(track(name)), "{name}");
        assert_ne!(host_access(&name.parse().unwrap()), HostAccess::Absent, "{name}");
    }
}
