//! Short forms of names, for where the long form does not fit.

/// Returns the interface alone: `demo:logger/log@0.1.0` becomes `log`; what is no interface name stays as it is.
pub(super) fn interface(label: &str) -> &str {
    let Some((_, interface)) = label.split_once('/') else { return label };
    interface.split_once('@').map_or(interface, |(name, _)| name)
}

/// Returns `label` without its package where that is `owner` itself: of `demo:logger`, `demo:logger/log@0.1.0` is `log@0.1.0`.
pub(super) fn within<'a>(label: &'a str, owner: &str) -> &'a str {
    label.strip_prefix(owner).and_then(|rest| rest.strip_prefix('/')).unwrap_or(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_interface_and_drops_package_and_version() {
        assert_eq!(interface("demo:logger/log@0.1.0"), "log");
        assert_eq!(interface("demo:logger/log"), "log");
        assert_eq!(interface("depends_on"), "depends_on");
        assert_eq!(interface("a/"), "");
    }

    #[test]
    fn drops_the_package_that_the_reader_sees_already() {
        assert_eq!(within("demo:logger/log@0.1.0", "demo:logger"), "log@0.1.0");
        assert_eq!(within("demo:logger/log@0.1.0", "demo:log"), "demo:logger/log@0.1.0");
        assert_eq!(within("depends_on", "demo:log"), "depends_on");
    }
}
