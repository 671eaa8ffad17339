//! How much memory sled may use for pages. It takes what is read: a process that looks at a few entries uses little of it.

/// Part of the memory that there is.
const PART: u64 = 16;
/// Least and most, in bytes. Entries and revisions of a million components fit into the most, so that looking one up touches no file.
const LEAST: u64 = 64 << 20;
const MOST: u64 = 768 << 20;

/// Returns how many bytes of pages sled may keep: a sixteenth of the machine's or the control group's memory, within bounds.
pub(super) fn bytes() -> u64 {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    share(&read("/proc/meminfo"), &read("/sys/fs/cgroup/memory.max"))
}

/// Where the system says nothing, the least.
fn share(machine: &str, group: &str) -> u64 {
    let total = machine.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total.and_then(|total| total.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok());
    let total = total.map(|kilobytes| kilobytes.saturating_mul(1_024));
    // "max" where there is no limit.
    let limit = group.trim().parse::<u64>().ok();
    let memory = [total, limit].into_iter().flatten().min().unwrap_or(0);
    (memory / PART).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_sixteenth_of_what_there_is_within_bounds() {
        let machine = "MemTotal:        4194304 kB\nMemFree:          10 kB\n";
        assert_eq!(share(machine, "max\n"), 256 << 20);
        assert_eq!(share(machine, "2147483648\n"), 128 << 20);
        assert_eq!(share(machine, "8589934592\n"), 256 << 20);
        assert_eq!(share("", "1000000\n"), LEAST);
        assert_eq!(share("MemTotal: 99999999999999 kB", ""), MOST);
        assert_eq!(share("MemTotal: many kB", "few"), LEAST);
        assert!((LEAST..=MOST).contains(&bytes()));
    }
}
