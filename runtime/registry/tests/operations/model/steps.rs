//! What is done in a history: plain values, so that proptest can make and shrink them.

use domain::ComponentManifest;
use domain::Status;
use proptest::prelude::*;
use registry::{ManifestSource, RegisterRequest};

use crate::fakes::{component, id};

/// How many components there are, and interfaces.
pub(super) const NAMES: u8 = 5;
pub(super) const INTERFACES: u8 = 3;
/// The versions and ranges that are used.
pub(super) const VERSIONS: [&str; 3] = ["1.0.0", "1.1.0", "2.0.0"];
pub(super) const RANGES: [&str; 3] = ["*", "^1", "^2"];

/// Tells whether the version at one place of [`VERSIONS`] is in the range at one of [`RANGES`].
pub(super) fn is_in_range(version: u8, range: u8) -> bool {
    match range {
        1 => version < 2,
        2 => version == 2,
        _ => true,
    }
}

pub(super) fn name(number: u8) -> String {
    format!("demo:c{number}")
}

pub(super) fn interface(number: u8) -> String {
    format!("demo:i/x{number}@1.0.0")
}

/// What goes wrong with a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Link,
    Start,
    Call,
}

/// A component with its manifest; numbers are places in the lists above, sets of interfaces are bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) name: u8,
    pub(super) version: u8,
    pub(super) salt: u8,
    pub(super) imports: u8,
    pub(super) exports: u8,
    pub(super) fault: Option<Fault>,
    /// A dependency that its manifest declares, with a range.
    pub(super) needs: Option<(u8, u8)>,
    pub(super) author: Option<bool>,
}

impl Text {
    pub(super) fn imports(&self) -> impl Iterator<Item = u8> + use<> {
        let bits = self.imports;
        (0..INTERFACES).filter(move |number| bits & (1 << number) != 0)
    }

    pub(super) fn exports(&self, interface: u8) -> bool {
        self.exports & (1 << interface) != 0
    }

    pub(super) fn request(&self) -> RegisterRequest {
        let mut lines =
            format!("name {}\nversion {}\n# {}", name(self.name), VERSIONS[self.version as usize], self.salt);
        for number in self.imports() {
            lines += &format!("\nimport {}", interface(number));
        }
        for number in (0..INTERFACES).filter(|number| self.exports(*number)) {
            lines += &format!("\nexport {}", interface(number));
        }
        lines += match self.fault {
            None => "",
            Some(Fault::Link) => "\nfail-link",
            Some(Fault::Start) => "\nfail-start",
            Some(Fault::Call) => "\nfail-call",
        };
        let mut manifest = ComponentManifest::default();
        if let Some((on, range)) = self.needs {
            manifest.dependencies.insert(id(&name(on)), RANGES[range as usize].parse().unwrap());
        }
        if let Some(author) = self.author {
            manifest.metadata.insert("author".to_owned(), author_text(author).into());
        }
        let mut request = component(&lines);
        request.manifest = Some(ManifestSource::Given(Box::new(manifest)));
        request
    }
}

pub(super) fn author_text(author: bool) -> &'static str {
    if author { "ada" } else { "bob" }
}

/// How the process ends before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Dropped,
    /// And the index is deleted.
    WithoutIndex,
}

/// Which histories there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those in which nobody ever needs another revision than the one in service: all of a component export the same, and any version will do.
    OneInService,
    /// All of them.
    Any,
}

impl Scope {
    fn ranges(self) -> u8 {
        if self == Self::OneInService { 1 } else { 3 }
    }
}

/// One thing that is done.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Register {
        text: Text,
        override_version: bool,
        activate: bool,
    },
    Unregister {
        name: u8,
        cascade: bool,
    },
    Activate {
        name: u8,
        version: Option<u8>,
    },
    Deactivate {
        name: u8,
        cascade: bool,
    },
    Depend {
        name: u8,
        on: u8,
        range: u8,
    },
    Undepend {
        name: u8,
        on: u8,
    },
    /// They are fused, and taken apart again before the next step.
    Fuse {
        name: u8,
        on: u8,
    },
    SetStatus {
        name: u8,
        status: Status,
    },
    Mark {
        name: u8,
    },
    Clear {
        name: u8,
    },
    Call {
        name: u8,
    },
    CreateIndex,
    DropIndex,
    AllowOverride(bool),
    WrongSetting,
    Prune,
    Compact,
    Restart(End),
}

fn text(scope: Scope) -> impl Strategy<Value = Text> {
    let others = if scope == Scope::OneInService { 0 } else { 1 };
    let exports = prop_oneof![4 => Just(None), others => (0..8u8).prop_map(Some)];
    let imports = prop::sample::select(&[0u8, 0, 0, 1, 1, 2, 2, 4, 4, 3, 5]);
    let fault = prop_oneof![
        10 => Just(None), 1 => Just(Some(Fault::Link)), 2 => Just(Some(Fault::Start)), 3 => Just(Some(Fault::Call))
    ];
    let needs = prop_oneof![4 => Just(None), 1 => (0..NAMES, 0..scope.ranges()).prop_map(Some)];
    (0..NAMES, 0..3u8, 0..2u8, imports, exports, fault, needs, any::<Option<bool>>()).prop_map(
        |(name, version, salt, imports, exports, fault, needs, author)| {
            // Most have an interface of their own, so that most imports have one provider.
            let exports = exports.unwrap_or(if name < INTERFACES { 1 << name } else { 0 });
            Text { name, version, salt, imports, exports, fault, needs, author }
        },
    )
}

pub(super) fn step(scope: Scope) -> impl Strategy<Value = Step> {
    let name = || 0..NAMES;
    let end = prop::sample::select(&[End::Closed, End::Closed, End::Dropped, End::Dropped, End::WithoutIndex]);
    let status = prop::sample::select(&Status::ALL);
    prop_oneof![
        12 => (text(scope), prop::bool::weighted(0.25), prop::bool::weighted(0.35))
            .prop_map(|(text, override_version, activate)| Step::Register { text, override_version, activate }),
        3 => (name(), any::<bool>()).prop_map(|(name, cascade)| Step::Unregister { name, cascade }),
        6 => (name(), prop_oneof![2 => Just(None), 1 => (0..3u8).prop_map(Some)])
            .prop_map(|(name, version)| Step::Activate { name, version }),
        4 => (name(), any::<bool>()).prop_map(|(name, cascade)| Step::Deactivate { name, cascade }),
        4 => (name(), name(), 0..scope.ranges()).prop_map(|(name, on, range)| Step::Depend { name, on, range }),
        2 => (name(), name()).prop_map(|(name, on)| Step::Undepend { name, on }),
        3 => (name(), name()).prop_map(|(name, on)| Step::Fuse { name, on }),
        2 => (name(), status).prop_map(|(name, status)| Step::SetStatus { name, status }),
        2 => name().prop_map(|name| Step::Mark { name }),
        2 => name().prop_map(|name| Step::Clear { name }),
        4 => name().prop_map(|name| Step::Call { name }),
        1 => Just(Step::CreateIndex),
        1 => Just(Step::DropIndex),
        1 => any::<bool>().prop_map(Step::AllowOverride),
        1 => Just(Step::WrongSetting),
        1 => Just(Step::Prune),
        1 => Just(Step::Compact),
        3 => end.prop_map(Step::Restart),
    ]
}
