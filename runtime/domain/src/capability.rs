//! What the host can provide to a guest, by interface, and under which condition.

use crate::failure::FailureKind;
use crate::inspection::{ExternItem, ExternKind};
use crate::interface::InterfaceName;

/// Under which condition the host links an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAccess {
    /// In the default set: every component may have it.
    Default,
    /// Linked for everybody but empty without a grant: no variables, no folders, stdin at its end.
    EmptyWithoutGrant,
    /// The host has no such capability, or none that can be granted yet.
    Absent,
}

/// One interface that the host knows.
struct HostInterface {
    package: &'static str,
    interfaces: &'static [&'static str],
    /// The semver track that is served, `None` for names without version.
    tracks: &'static [Option<&'static str>],
    access: HostAccess,
}

const WASI_02: &[Option<&str>] = &[Some("0.2")];

const HOST_INTERFACES: &[HostInterface] = &[
    HostInterface {
        package: "wasi:clocks",
        interfaces: &["monotonic-clock", "wall-clock"],
        tracks: WASI_02,
        access: HostAccess::Default,
    },
    HostInterface {
        package: "wasi:random",
        interfaces: &["random", "insecure", "insecure-seed"],
        tracks: WASI_02,
        access: HostAccess::Default,
    },
    HostInterface {
        package: "wasi:io",
        interfaces: &["error", "poll", "streams"],
        tracks: WASI_02,
        access: HostAccess::Default,
    },
    HostInterface {
        package: "wasi:cli",
        interfaces: &["stdin", "stdout", "stderr"],
        tracks: WASI_02,
        access: HostAccess::Default,
    },
    HostInterface {
        package: "wasi:cli",
        interfaces: &[
            "environment",
            "exit",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
        tracks: WASI_02,
        access: HostAccess::EmptyWithoutGrant,
    },
    HostInterface {
        package: "wasi:filesystem",
        interfaces: &["types", "preopens"],
        tracks: WASI_02,
        access: HostAccess::EmptyWithoutGrant,
    },
    HostInterface {
        package: "wasi:logging",
        interfaces: &["logging"],
        tracks: &[None, Some("0.1.0-draft")],
        access: HostAccess::Default,
    },
    HostInterface {
        package: "wasi:config",
        interfaces: &["store"],
        tracks: &[None, Some("0.2.0-draft"), Some("0.2.0-rc.1")],
        access: HostAccess::Default,
    },
    HostInterface {
        package: "registry:host",
        interfaces: &["environment"],
        tracks: &[Some("0.1")],
        access: HostAccess::Default,
    },
];

/// Says under which condition the host links `name`.
///
/// The engine must link exactly what is not [`HostAccess::Absent`] here; a test compares the two.
pub fn host_access(name: &InterfaceName) -> HostAccess {
    let package = format!("{}:{}", name.namespace, name.package);
    let track = name.track();
    let track = track.split_once('@').map(|(_, track)| track);
    HOST_INTERFACES
        .iter()
        .find(|known| {
            known.package == package
                && known.interfaces.contains(&name.interface.as_str())
                && known.tracks.contains(&track)
        })
        .map_or(HostAccess::Absent, |known| known.access)
}

/// Returns every interface the host can link, as `(name, access)`, in a fixed order.
pub fn host_interfaces() -> impl Iterator<Item = (String, HostAccess)> {
    HOST_INTERFACES.iter().flat_map(|known| {
        known.interfaces.iter().flat_map(move |interface| {
            known.tracks.iter().map(move |track| {
                let name = format!("{}/{interface}", known.package);
                (track.map_or(name.clone(), |track| format!("{name}@{track}")), known.access)
            })
        })
    })
}

/// Returns the versions of `name`'s interface that the host does serve, for a hint; empty if it knows none.
pub fn served_versions(name: &InterfaceName) -> Vec<String> {
    let wanted = name.unversioned();
    host_interfaces().map(|(known, _)| known).filter(|known| known.split('@').next() == Some(wanted.as_str())).collect()
}

/// Returns the host interfaces among `imports` that the host has not, apart from those that components provide: nothing that needs
/// one of them can ever be linked.
pub fn never_served(imports: &[ExternItem], is_provided: impl Fn(&str) -> bool) -> Vec<InterfaceName> {
    let wanted = imports.iter().filter(|import| import.kind == ExternKind::Interface && !is_provided(&import.name));
    wanted
        .filter_map(ExternItem::interface)
        .filter(|interface| interface.is_host() && host_access(interface) == HostAccess::Absent)
        .collect()
}

/// Says in one sentence that the host has none of `interfaces`, and what sort of failure that is.
pub fn refusal(interfaces: &[InterfaceName]) -> (FailureKind, String) {
    let mut names: Vec<_> = interfaces.iter().take(NAMED_MAX).map(|interface| format!("`{interface}`")).collect();
    let more = interfaces.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    let (last, first) = names.split_last().map_or((String::new(), String::new()), |(l, f)| (l.clone(), f.join(", ")));
    let names = if first.is_empty() { last } else { format!("{first} and {last}") };
    let mut served: Vec<_> = interfaces.iter().flat_map(served_versions).collect();
    served.dedup();
    let others = if served.is_empty() { String::new() } else { format!("; the host serves {}", served.join(" and ")) };
    let (is, has) = if interfaces.len() == 1 { ("is", "no such capability") } else { ("are", "no such capabilities") };
    if interfaces.iter().any(|interface| interface.namespace == "wasi") {
        return (FailureKind::Denied, format!("{names} {is} not granted and cannot be: the host has {has}{others}"));
    }
    (FailureKind::MissingImport, format!("nobody provides {names}{others}"))
}

/// Most interfaces that a refusal names.
const NAMED_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_any_0_2_of_wasi_and_nothing_with_authority() {
        let access = |text: &str| host_access(&text.parse().unwrap());
        assert_eq!(access("wasi:clocks/wall-clock@0.2.0"), HostAccess::Default);
        assert_eq!(access("wasi:cli/environment@0.2.12"), HostAccess::EmptyWithoutGrant);
        assert_eq!(access("wasi:logging/logging"), HostAccess::Default);
        assert_eq!(access("wasi:logging/logging@0.1.0-draft"), HostAccess::Default);
        assert_eq!(access("wasi:clocks/wall-clock@0.3.0"), HostAccess::Absent);
        assert_eq!(access("wasi:sockets/tcp@0.2.0"), HostAccess::Absent);
        assert_eq!(access("wasi:http/outgoing-handler@0.2.0"), HostAccess::Absent);
    }
}
